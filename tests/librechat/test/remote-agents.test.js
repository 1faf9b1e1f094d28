import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import jwt from 'jsonwebtoken';
import jwksRsa from 'jwks-rsa';

import { tamper } from '../lib/librechat.js';
import { Latchkey, post, registrations, sleep } from '../lib/latchkey.js';

const AUDIENCE = 'https://chat.example.org';
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512'];

describe('Remote Agents API: jwks-rsa getSigningKey, then jsonwebtoken without tolerance', () => {
  let server;

  /** endpoints.agents.remoteApi.auth.oidc `{issuer, audience, jwksUri, scope}`. */
  async function verify(token, { issuer = server.url, audience = AUDIENCE, scope = 'agents' } = {}) {
    const jwks = jwksRsa({ jwksUri: `${server.url}/.well-known/jwks.json`, cache: true });
    const { header } = jwt.decode(token, { complete: true });
    const key = (await jwks.getSigningKey(header.kid)).getPublicKey();
    const payload = jwt.verify(token, key, { algorithms: ALGORITHMS, issuer, audience, clockTolerance: 0 });
    const scopes = String(payload.scp ?? payload.scope ?? '').split(' ');
    if (!scopes.includes(scope)) throw new Error('insufficient_scope');
    if (!payload.sub) throw new Error('no sub');
    return payload;
  }

  before(async () => {
    const options = (alg) => `--alg ${alg} --requires refresh_token --scope agents openid --audience ${AUDIENCE}`;
    server = await Latchkey.start(registrations({
      keys: ['RS256', 'PS256', 'ES256', 'EdDSA'],
      clients: { RS256: options('RS256'), PS256: options('PS256'), ES256: options('ES256'), EdDSA: options('EdDSA') },
    }));
  });
  after(() => server?.stop());

  for (const alg of ['RS256', 'PS256', 'ES256']) {
    it(`${alg}: issued and renewed access tokens are let in, with all algorithms in one key set`, async () => {
      const issued = await server.issue(alg);
      const renewed = await post(`${server.url}/token/renew`, { ...server.made.client[alg], refresh_token: issued.refresh_token });
      assert.equal(renewed.status, 200, renewed.text);
      for (const { access_token } of [issued, renewed.json]) assert.equal((await verify(access_token)).sub, 'alice');
    });
  }

  it('EdDSA is refused (so: not for Remote Agents)', async () => {
    const { access_token } = await server.issue('EdDSA');
    await assert.rejects(verify(access_token));
  });

  it('another audience, issuer or scope: refused', async () => {
    const { access_token } = await server.issue('RS256');
    await assert.rejects(verify(access_token, { audience: 'other' }), /jwt audience invalid/);
    await assert.rejects(verify(access_token, { issuer: `${server.url}/` }), /jwt issuer invalid/);
    await assert.rejects(verify(access_token, { scope: 'admin' }), /insufficient_scope/);
    const { access_token: narrow } = await server.issue('RS256', { scope: 'openid' });
    await assert.rejects(verify(narrow), /insufficient_scope/);
  });

  it('expired and tampered: refused', async () => {
    const { access_token } = await server.issue('RS256', { expires_in: 1 });
    await assert.rejects(verify(tamper(access_token)), /invalid signature/);
    await sleep(2100);
    await assert.rejects(verify(access_token), /jwt expired/);
  });
});
