// oidc-provider with its own in-memory adapter: refresh grants with rotation, a JWT access token and an ID token. The
// sessions that a browser would begin are made with the provider's own models. Arguments: algorithm, number of sessions.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const [algorithm, sessions] = [process.argv[2], Number(process.argv[3])];
const { privateKey } =
  algorithm === 'RS256' ? generateKeyPairSync('rsa', { modulusLength: 2048 }) :
  algorithm === 'ES256' ? generateKeyPairSync('ec', { namedCurve: 'P-256' }) : generateKeyPairSync('ed25519');
const RESOURCE = 'urn:librechat';
const SCOPE = 'openid profile email';
const client = { client_id: 'librechat', client_secret: randomBytes(32).toString('hex') };

const server = createServer();
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), alg: algorithm, use: 'sig' }] },
  clients: [{
    ...client,
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    redirect_uris: ['http://127.0.0.1/callback'],
    token_endpoint_auth_method: 'client_secret_basic',
    id_token_signed_response_alg: algorithm,
  }],
  enabledJWA: { idTokenSigningAlgValues: [algorithm] },
  claims: { openid: ['sub'], profile: ['name', 'preferred_username'], email: ['email'] },
  conformIdTokenClaims: false,
  scopes: ['openid', 'offline_access', 'profile', 'email'],
  rotateRefreshToken: true,
  ttl: { AccessToken: 86_400, IdToken: 86_400, RefreshToken: 604_800, Grant: 2_592_000 },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, email: `${id}@example.org`, name: 'Alice Example', preferred_username: id }),
  }),
  features: {
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => RESOURCE,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: SCOPE, audience: 'librechat', accessTokenTTL: 86_400, accessTokenFormat: 'jwt', jwt: { sign: { alg: algorithm } },
      }),
    },
  },
});
provider.on('server_error', (_, error) => console.error(error));
server.on('request', provider.callback());

const refreshTokens = [];
for (let number = 0; number < sessions; number += 1) {
  const accountId = `user-${number}`;
  const grant = new provider.Grant({ accountId, clientId: client.client_id });
  grant.addOIDCScope(SCOPE);
  grant.addResourceScope(RESOURCE, SCOPE);
  const grantId = await grant.save();
  const token = new provider.RefreshToken({
    accountId, client: await provider.Client.find(client.client_id), grantId, gty: 'authorization_code',
    scope: SCOPE, resource: RESOURCE, authTime: Math.floor(Date.now() / 1000), claims: {}, rotations: 0,
    iiat: Math.floor(Date.now() / 1000),
  });
  refreshTokens.push(await token.save());
}
console.log(JSON.stringify({ url: `${issuer}/token`, ...client, refreshTokens }));
