// The renewal in Node.js: the same checks, the same one write on the same table, the same tokens. Written for the
// comparison; it keeps what it fetches while it starts, as the function in Rust does.
import { createCipheriv, createHash, createHmac, createPrivateKey, createPublicKey, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto';
import { DynamoDBClient, UpdateItemCommand } from '@aws-sdk/client-dynamodb';
import { GetSecretValueCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { SignJWT, jwtVerify } from 'jose';

const { LATCHKEY_ISSUER: issuer, LATCHKEY_TABLE: table } = process.env;
const IDLE_MILLISECONDS = 604_800_000;

const dynamodb = new DynamoDBClient({});
const secretsManager = new SecretsManagerClient({});

const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest();
const secret = async (id) =>
  JSON.parse((await secretsManager.send(new GetSecretValueCommand({ SecretId: id }))).SecretString);

const [ring, registry] = await Promise.all([
  secret(process.env.LATCHKEY_SIGNING_KEYS),
  secret(process.env.LATCHKEY_CLIENTS),
]);
const keys = new Map(
  ring.signing
    .filter((key) => key.private_key)
    .map((key) => {
      const privateKey = createPrivateKey(key.private_key);
      return [key.kid, { ...key, privateKey, publicKey: createPublicKey(privateKey) }];
    }),
);
const tagging = new Map(ring.tagging.map((key) => [key.kid, Buffer.from(key.secret, 'base64url')]));
const clients = new Map(registry.clients.map((client) => [client.client_id, client]));

const refused = (statusCode, error) => ({
  statusCode,
  headers: { 'content-type': 'application/json', 'cache-control': 'no-store', pragma: 'no-cache' },
  body: JSON.stringify({ error }),
});

function authenticate(authorization) {
  const [id, secret] = Buffer.from(authorization?.replace(/^Basic /, '') ?? '', 'base64').toString().split(':');
  const client = clients.get(id);
  const hash = sha256(secret ?? '');
  return client?.secret_sha256.some((known) => timingSafeEqual(Buffer.from(known, 'hex'), hash)) ? client : undefined;
}

const tag = (kid, token, hash, clientId) =>
  createHmac('sha256', tagging.get(kid))
    .update('lk1').update(Buffer.from([kid])).update(token.subarray(1, 37)).update(hash).update(clientId)
    .digest().subarray(0, 16);

function readRefreshToken(text, clientId) {
  const bytes = Buffer.from(text.slice(4), 'base64url');
  if (!text.startsWith('lk1_') || bytes.length !== 85 || !tagging.has(bytes[0])) return undefined;
  const secret = bytes.subarray(37, 69);
  const hash = sha256(secret);
  if (!timingSafeEqual(tag(bytes[0], bytes, hash, clientId), bytes.subarray(69))) return undefined;
  return { bytes, owner: bytes.subarray(1, 17), sid: bytes.subarray(17, 33), generation: bytes.readUInt32BE(33), secret, hash };
}

function seal(token, generation, successor) {
  const key = Buffer.from(hkdfSync('sha256', token.secret, token.sid, 'latchkey successor', 32));
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  const number = Buffer.alloc(4);
  number.writeUInt32BE(generation);
  cipher.setAAD(Buffer.concat([token.owner, token.sid, number]));
  return Buffer.concat([nonce, cipher.update(successor), cipher.final(), cipher.getAuthTag()]);
}

const keyOf = (algorithm) => [...keys.values()].find((key) => key.alg === algorithm && (key.sign_from ?? 0) <= Date.now() / 1000);
const sign = (key, typ, claims) =>
  new SignJWT(claims).setProtectedHeader({ alg: key.alg, kid: key.kid, typ }).sign(key.privateKey);

async function renew(event) {
  const client = authenticate(event.headers.authorization);
  if (!client) return refused(401, 'invalid_client');
  const request = JSON.parse(event.body);
  const token = readRefreshToken(request.refresh_token, client.client_id);
  if (!token) return refused(400, 'invalid_grant');
  let access;
  try {
    const verified = await jwtVerify(request.access_token, ({ kid }) => keys.get(kid).publicKey, { issuer, typ: 'at+jwt' });
    access = verified.payload;
  } catch {
    return refused(400, 'invalid_grant');
  }
  const session = Buffer.concat([token.owner, token.sid]).toString('base64url');
  if (access.sid !== session || access.client_id !== client.client_id) return refused(400, 'invalid_grant');

  const now = Date.now();
  const generation = token.generation + 1;
  const successor = randomBytes(32);
  const absolute = token.sid.readUIntBE(0, 6);
  const life = token.sid.readUIntBE(6, 3) * 1000;
  const hash = sha256(successor);
  const [kid] = tagging.keys();
  const number = (value) => ({ N: String(value) });
  let record;
  try {
    const output = await dynamodb.send(
      new UpdateItemCommand({
        TableName: table,
        Key: { owner: { B: token.owner }, sid: { B: token.sid } },
        UpdateExpression:
          'SET generation = :generation, secret_hash = :hash, tag_kid = :tag_kid, previous_hash = :old_hash, ' +
          'sealed_successor = :sealed, rotated_at = :now, access_expires_at = :access, idle_expires_at = :idle',
        ConditionExpression:
          'client_id = :client AND generation = :old_generation AND secret_hash = :old_hash AND ' +
          'attribute_not_exists(revoked_at) AND idle_expires_at > :now AND absolute_expires_at > :now AND audience = :audience',
        ExpressionAttributeValues: {
          ':client': { S: client.client_id }, ':old_generation': number(token.generation), ':old_hash': { B: token.hash },
          ':generation': number(generation), ':hash': { B: hash }, ':tag_kid': number(kid),
          ':sealed': { B: seal(token, generation, successor) }, ':now': number(now),
          ':access': number(Math.min(now + life, absolute)), ':idle': number(Math.min(now + IDLE_MILLISECONDS, absolute)),
          ':audience': { L: [access.aud].flat().map((S) => ({ S })) },
        },
        ReturnValues: 'ALL_NEW',
        ReturnValuesOnConditionCheckFailure: 'ALL_OLD',
      }),
    );
    record = output.Attributes;
  } catch (error) {
    // Retry and reuse are left out: they are not what is compared.
    return error.name === 'ConditionalCheckFailedException' ? refused(400, 'invalid_grant') : refused(503, 'temporarily_unavailable');
  }

  const iat = Math.floor(now / 1000);
  const exp = Math.floor(Math.min(now + life, absolute) / 1000);
  const claims = Object.fromEntries(Object.entries(record.claims.M).map(([name, value]) => [name, value.S]));
  const shared = { ...claims, iss: issuer, sub: record.subject.S, iat, exp };
  const scope = record.scope.S;
  const key = keyOf(client.alg);
  const jti = sha256(token.sid, String(generation), String(iat), scope).subarray(0, 16).toString('base64url');
  const accessToken = await sign(key, 'at+jwt', { ...shared, aud: access.aud, client_id: client.client_id, jti, sid: session, scope });
  const idToken = scope.split(' ').includes('openid') ? await sign(key, 'JWT', { ...shared, aud: client.client_id }) : undefined;
  const rotated = Buffer.concat([token.bytes.subarray(0, 33), Buffer.alloc(4), successor]);
  rotated[0] = kid;
  rotated.writeUInt32BE(generation, 33);
  const refreshToken = 'lk1_' + Buffer.concat([rotated, tag(kid, rotated, hash, client.client_id)]).toString('base64url');
  console.log(JSON.stringify({ timestamp: new Date(now).toISOString(), level: 'INFO', service: 'latchkey', event: 'token_renewed', jti, generation }));
  return {
    statusCode: 200,
    headers: { 'content-type': 'application/json', 'cache-control': 'no-store', pragma: 'no-cache' },
    body: JSON.stringify({
      access_token: accessToken, token_type: 'Bearer', expires_in: exp - iat, refresh_token: refreshToken,
      refresh_token_expires_in: Math.floor(Math.min(IDLE_MILLISECONDS, absolute - now) / 1000), scope, id_token: idToken, session_id: session,
    }),
  };
}

// In the place of Lambda's own runtime for Node.js, which does more: the comparison is in Node's favour.
const api = `http://${process.env.AWS_LAMBDA_RUNTIME_API}/2018-06-01/runtime/invocation`;
for (;;) {
  const next = await fetch(`${api}/next`);
  const event = await next.json();
  const answer = await renew(event);
  await fetch(`${api}/${next.headers.get('lambda-runtime-aws-request-id')}/response`, { method: 'POST', body: JSON.stringify(answer) });
}
