// JWTs that others sign: by the libraries that LibreChat and the systems in front of it use.
import assert from 'node:assert/strict';
import { generateKeyPairSync, randomUUID, webcrypto } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import jwt from 'jsonwebtoken';

import { signIn } from '../lib/browser.js';
import { Latchkey, post, registrations } from '../lib/latchkey.js';

const GRANT = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const CALLBACK = 'https://agents.example.org/callback';
const LEGACY_SECRET = 'test-hs256-secret-of-an-old-portal-0123456789';

/** A private key, and a file with its public half as a JWK set. */
function keyPair(folder, name) {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const file = path.join(folder, `${name}.json`);
  const jwk = { ...publicKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig', kid: name };
  writeFileSync(file, JSON.stringify({ keys: [jwk] }));
  return { privateKey, file };
}

describe('assertions', () => {
  const made = registrations({ portal: '--sign-in-url https://portal.example.org/sign-in', clients: { librechat: '--requires refresh_token --scope openid' } });
  const portal = keyPair(made.folder, 'portal-key');
  const agents = keyPair(made.folder, 'agents-key');
  writeFileSync(path.join(made.folder, 'legacy.txt'), LEGACY_SECRET);
  let server;

  before(async () => {
    made.run(['issuer', 'add', 'signing', '--file', made.clients, '--jwks', portal.file, '--client', 'librechat',
      '--assertion-iss', 'https://portal.example.org', '--assertion-aud', 'https://id.example.org']);
    made.run(['issuer', 'add', 'old-portal', '--file', made.clients, '--hs256-secret-file', 'legacy.txt', '--client', 'librechat',
      '--assertion-iss', 'old-portal', '--subject-claim', 'user_id', '--legacy-max-age-seconds', '7776000']);
    made.addClient('agents', '--jwks', agents.file, '--requires', 'refresh_token', '--scope', 'openid', '--redirect-uri', CALLBACK);
    server = await Latchkey.start(made);
  });
  after(() => server?.stop());

  const issue = (assertion) => post(`${server.url}/token`, { grant_type: GRANT, assertion, client_id: 'librechat' });
  const renew = (tokens) =>
    post(`${server.url}/token/renew`, { refresh_token: tokens.refresh_token, ...made.client.librechat });

  it("jsonwebtoken's ES256 token with jti becomes tokens, once", async () => {
    const options = {
      algorithm: 'ES256', keyid: 'portal-key', issuer: 'https://portal.example.org', audience: 'https://id.example.org',
      subject: 'alice', expiresIn: 60, jwtid: randomUUID(),
    };
    const assertion = jwt.sign({}, portal.privateKey, options);
    const issued = await issue(assertion);
    assert.equal(issued.status, 200, issued.text);
    assert.equal(jwt.decode(issued.json.access_token).sub, 'alice');
    assert.equal((await renew(issued.json)).status, 200);
    const replayed = await issue(assertion);
    assert.deepEqual([replayed.status, replayed.json.error], [400, 'invalid_grant']);
  });

  it("jsonwebtoken's HS256 token that never expires becomes one that does, and is renewed", async () => {
    const legacy = jwt.sign({ user_id: 4711 }, LEGACY_SECRET, { issuer: 'old-portal' });
    assert.equal(jwt.decode(legacy).exp, undefined);
    const issued = await issue(legacy);
    assert.equal(issued.status, 200, issued.text);
    const { sub, iat, exp } = jwt.decode(issued.json.access_token);
    assert.deepEqual([sub, exp - iat], ['4711', 86_400]);
    assert.equal((await renew(issued.json)).status, 200);
    const forged = await issue(jwt.sign({ user_id: 4711 }, 'another', { issuer: 'old-portal' }));
    assert.deepEqual([forged.status, forged.json.error], [400, 'invalid_grant']);
  });

  for (const version of ['openid-client-6.5', 'openid-client-6.9']) {
    it(`private_key_jwt: ${version} signs in, renews, introspects and revokes`, async () => {
      const library = await import(version);
      const pkcs8 = agents.privateKey.export({ format: 'der', type: 'pkcs8' });
      const algorithm = { name: 'ECDSA', namedCurve: 'P-256' };
      const key = await webcrypto.subtle.importKey('pkcs8', pkcs8, algorithm, false, ['sign']);
      const config = await library.discovery(
        new URL(server.url), 'agents', undefined, library.PrivateKeyJwt({ key, kid: 'agents-key' }),
        { execute: [library.allowInsecureRequests] },
      );
      const pkceCodeVerifier = library.randomPKCECodeVerifier();
      const expectedState = library.randomState();
      const asked = library.buildAuthorizationUrl(config, {
        redirect_uri: CALLBACK, scope: 'openid', state: expectedState, code_challenge_method: 'S256',
        code_challenge: await library.calculatePKCECodeChallenge(pkceCodeVerifier),
      });
      const tokens = await library.authorizationCodeGrant(config, await signIn(server, asked), { pkceCodeVerifier, expectedState });
      const renewed = await library.refreshTokenGrant(config, tokens.refresh_token);
      assert.equal(renewed.claims().sub, 'alice');
      assert.equal((await library.tokenIntrospection(config, renewed.access_token)).active, true);
      await library.tokenRevocation(config, renewed.refresh_token);
      assert.equal((await library.tokenIntrospection(config, renewed.access_token)).active, false);
      await assert.rejects(library.refreshTokenGrant(config, renewed.refresh_token), { error: 'invalid_grant', status: 400 });
    });
  }
});
