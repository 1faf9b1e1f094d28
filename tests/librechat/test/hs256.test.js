import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it } from 'node:test';
import { createMethods } from '@librechat/data-schemas';

import { authenticate, decode, jwtLogin, tamper } from '../lib/librechat.js';
import { Latchkey, post, registrations, sleep } from '../lib/latchkey.js';

// Hex digits, as LibreChat's instructions make it; the key is these characters, not the bytes they stand for.
const JWT_SECRET = randomBytes(32).toString('hex');
const USER = { id: randomBytes(12).toString('hex'), username: 'alice', provider: 'openid', email: 'alice@example.org' };

describe('HS256 with JWT_SECRET: passport-jwt as LibreChat configures it', () => {
  let server;
  let client;
  const strategy = jwtLogin(JWT_SECRET);
  const issue = (members) => server.issue('librechat', { claims: JSON.stringify(USER), ...members });
  const renew = (tokens) => post(`${server.url}/token/renew`, {
    ...client, refresh_token: tokens.refresh_token, access_token: tokens.access_token,
  });

  before(async () => {
    const made = registrations({
      keys: [],
      jwtSecret: JWT_SECRET,
      clients: {
        librechat: '--profile librechat --kid librechat-hs --scope profile email --claim id username provider email --grace-seconds 60',
      },
    });
    client = made.client.librechat;
    server = await Latchkey.start(made);
  });
  after(() => server?.stop());

  it('an issued and a renewed token let the user in whose id they carry', async () => {
    const issued = await issue();
    const renewed = await renew(issued);
    assert.equal(renewed.status, 200, renewed.text);
    for (const { access_token } of [issued, renewed.json]) {
      const payload = await authenticate(strategy, access_token);
      assert.equal(payload.id, USER.id, payload.refused);
    }
    assert.notEqual(renewed.json.refresh_token, issued.refresh_token);
  });

  it("the token says all that LibreChat's generateToken says, of the same types", async () => {
    process.env.JWT_SECRET = JWT_SECRET;
    const { generateToken } = createMethods({ models: {}, Types: {}, Schema: class {} });
    const theirs = decode(await generateToken({ ...USER, _id: USER.id }, 86_400_000));
    const ours = decode((await issue()).access_token);
    assert.deepEqual(Object.keys(theirs.payload).sort(), ['email', 'exp', 'iat', 'id', 'provider', 'username']);
    for (const [name, value] of Object.entries(theirs.payload)) {
      assert.equal(typeof ours.payload[name], typeof value, name);
      if (!['iat', 'exp'].includes(name)) assert.equal(ours.payload[name], value, name);
    }
    assert.equal(ours.payload.exp - ours.payload.iat, theirs.payload.exp - theirs.payload.iat);
    assert.equal(ours.header.alg, theirs.header.alg);
    assert.equal(ours.header.typ, theirs.header.typ);
    assert.equal(ours.payload.nbf, undefined, 'LibreChat tolerates no clock difference');
  });

  it('an expired token is refused by LibreChat, and still renewed in the grace period', async () => {
    const tokens = await issue({ expires_in: 1 });
    await sleep(2100);
    assert.deepEqual(await authenticate(strategy, tokens.access_token), { refused: 'jwt expired' });
    const renewed = await renew(tokens);
    assert.equal(renewed.status, 200, renewed.text);
    const fresh = await issue();
    assert.equal((await authenticate(strategy, fresh.access_token)).id, USER.id);
  });

  it('a tampered token is refused', async () => {
    const { access_token } = await issue();
    assert.deepEqual(await authenticate(strategy, tamper(access_token)), { refused: 'invalid signature' });
    const forged = access_token.split('.');
    forged[1] = Buffer.from(JSON.stringify({ ...decode(access_token).payload, id: 'mallory' })).toString('base64url');
    assert.deepEqual(await authenticate(strategy, forged.join('.')), { refused: 'invalid signature' });
  });

  it('another JWT_SECRET, and its hex-decoded bytes, refuse the token', async () => {
    const { access_token } = await issue();
    for (const secret of [randomBytes(32).toString('hex'), Buffer.from(JWT_SECRET, 'hex')]) {
      assert.deepEqual(await authenticate(jwtLogin(secret), access_token), { refused: 'invalid signature' });
    }
  });

  it('JWT_SECRET is published nowhere', async () => {
    const { keys } = await (await fetch(`${server.url}/.well-known/jwks.json`)).json();
    assert.deepEqual(keys, []);
    assert.ok(!server.log.includes(JWT_SECRET));
  });
});
