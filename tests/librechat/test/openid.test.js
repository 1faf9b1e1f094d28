import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';

import { authenticate, decode, openIdConfig, openIdJwtLogin, tamper } from '../lib/librechat.js';
import { Latchkey, post, rawBasic, registrations, sleep } from '../lib/latchkey.js';
import { Proxy } from '../lib/proxy.js';

const SCOPE = 'openid profile email';
// OPENID_CLIENT_ID for the ID token, OPENID_AUDIENCE for the access token.
const AUDIENCE = ['librechat', 'https://chat.example.org'];
const CLIENT = `--requires refresh_token --scope ${SCOPE} --claim email name --audience https://chat.example.org`;
const CLAIMS = JSON.stringify({ email: 'alice@example.org', name: 'Alice' });
const issue = (server, client = 'librechat', members = {}) => server.issue(client, { claims: CLAIMS, ...members });

/** Runs `body` with a server of its own. */
async function withServer(made, environment, body) {
  const server = await Latchkey.start(made, environment);
  try {
    return await body(server);
  } finally {
    await server.stop();
  }
}

for (const version of ['openid-client-6.5', 'openid-client-6.9']) {
  describe(`OpenID with token reuse: ${version}, then passport-jwt and jwks-rsa`, () => {
    let library;
    let server;
    let config;
    let strategy;
    const refresh = (tokens, parameters = { scope: SCOPE }) =>
      library.refreshTokenGrant(config, tokens.refresh_token, parameters);

    before(async () => {
      library = await import(version);
      server = await Latchkey.start(registrations({ clients: { librechat: CLIENT } }));
      config = await openIdConfig(library, server.url, server.made.client.librechat);
      strategy = openIdJwtLogin(config.serverMetadata(), AUDIENCE);
    });
    after(() => server?.stop());

    it('discovery → refreshTokenGrant → claims() → the bearer is let in, life after life', async () => {
      let tokens = await issue(server);
      for (let life = 0; life < 5; life += 1) {
        const renewed = await refresh(tokens);
        assert.notEqual(renewed.refresh_token, tokens.refresh_token);
        assert.equal(renewed.expires_in, 86_400);
        // Counted down by the library's own clock, which may have passed a full second since the answer.
        assert.ok(renewed.expiresIn() > 86_000 && renewed.expiresIn() <= 86_400);
        assert.equal(renewed.token_type, 'bearer');
        const claims = renewed.claims();
        assert.equal(claims.sub, 'alice');
        assert.equal(claims.email, 'alice@example.org');
        assert.equal(claims.aud, 'librechat');
        // LibreChat sends `id_token || access_token`.
        for (const bearer of [renewed.id_token, renewed.access_token]) {
          const payload = await authenticate(strategy, bearer);
          assert.equal(payload.sub, 'alice', payload.refused);
          assert.equal(payload.iss, server.url);
        }
        tokens = renewed;
      }
    });

    it('OPENID_AUDIENCE and no scope at all are accepted in the request', async () => {
      const first = await refresh(await issue(server), { audience: 'https://chat.example.org' });
      assert.equal((await refresh(first, {})).claims().sub, 'alice');
    });

    it('another audience, another issuer, a tampered token: refused', async () => {
      const { access_token } = await refresh(await issue(server));
      const metadata = config.serverMetadata();
      assert.match((await authenticate(openIdJwtLogin(metadata, ['other']), access_token)).refused, /jwt audience invalid/);
      const elsewhere = { ...metadata, issuer: `${metadata.issuer}/` };
      assert.match((await authenticate(openIdJwtLogin(elsewhere, AUDIENCE), access_token)).refused, /jwt issuer invalid/);
      assert.deepEqual(await authenticate(strategy, tamper(access_token)), { refused: 'invalid signature' });
    });

    it('an expired token is refused by the verifier and renewed all the same', async () => {
      const tokens = await issue(server, 'librechat', { expires_in: 1 });
      await sleep(2100);
      assert.deepEqual(await authenticate(strategy, tokens.id_token), { refused: 'jwt expired' });
      assert.equal((await refresh(tokens)).claims().sub, 'alice');
    });

    it('two processes that refresh at once get the same successor, and the session lives on', async () => {
      const script = new URL('../lib/process.mjs', import.meta.url);
      const args = [version, server.url, JSON.stringify(server.made.client.librechat)];
      const processes = [fork(script, args), fork(script, args)];
      try {
        await Promise.all(processes.map((process) => once(process, 'message')));
        let { refresh_token } = await issue(server);
        for (let round = 0; round < 20; round += 1) {
          const answers = await Promise.all(processes.map(async (process) => {
            const answer = once(process, 'message');
            process.send(refresh_token);
            return (await answer)[0];
          }));
          assert.deepEqual(answers[0], answers[1]);
          assert.equal(answers[0].sub, 'alice', answers[0].error);
          assert.notEqual(answers[0].refresh_token, refresh_token);
          ({ refresh_token } = answers[0]);
        }
      } finally {
        await Promise.all(processes.map(async (process) => {
          process.kill();
          if (process.exitCode === null && process.signalCode === null) await once(process, 'exit');
        }));
      }
    });

    it('a replay after the retry time is invalid_grant, recognised as such, and ends the session', async () => {
      await withServer(server.made, { LATCHKEY_RETRY_CONFIDENTIAL_SECONDS: '3' }, async (strict) => {
        const here = await openIdConfig(library, strict.url, strict.made.client.librechat);
        const again = (tokens) => library.refreshTokenGrant(here, tokens.refresh_token, { scope: SCOPE });
        const refused = { name: 'ResponseBodyError', error: 'invalid_grant', status: 400 };
        const issued = await issue(strict);
        const renewed = await again(issued);
        assert.equal((await again(issued)).refresh_token, renewed.refresh_token, 'a retry in time');
        await sleep(3300);
        await assert.rejects(again(issued), refused);
        await assert.rejects(again(renewed), refused);
      });
    });

    it('a key rotation in between: old tokens and new ones are let in', async () => {
      const made = registrations({ clients: { librechat: CLIENT } });
      await withServer(made, {}, async (rotating) => {
        const here = await openIdConfig(library, rotating.url, made.client.librechat);
        const verifier = openIdJwtLogin(here.serverMetadata(), AUDIENCE);
        const kid = (token) => decode(token).header.kid;
        const before = await issue(rotating);
        assert.equal((await authenticate(verifier, before.access_token)).sub, 'alice');
        made.generateKey('RS256', '--publish-seconds', '2');
        await sleep(3200);
        const after = await library.refreshTokenGrant(here, before.refresh_token, { scope: SCOPE });
        assert.equal(after.claims().sub, 'alice');
        assert.notEqual(kid(after.access_token), kid(before.access_token));
        for (const token of [before.access_token, after.access_token, after.id_token]) {
          const payload = await authenticate(verifier, token);
          assert.equal(payload.sub, 'alice', payload.refused);
        }
      });
    });

    it('an issuer with a stage path is discovered by its path and by the full well-known URL', async () => {
      const stage = await Proxy.start({ stage: '/prod' });
      try {
        await withServer(server.made, { LATCHKEY_ISSUER: stage.url }, async (staged) => {
          stage.target = staged.url;
          for (const named of [stage.url, `${stage.url}/.well-known/openid-configuration`]) {
            const here = await openIdConfig(library, named, staged.made.client.librechat);
            assert.equal(here.serverMetadata().issuer, stage.url);
            const tokens = await issue(staged);
            const renewed = await library.refreshTokenGrant(here, tokens.refresh_token, { scope: SCOPE });
            assert.equal(renewed.claims().iss, stage.url);
            const payload = await authenticate(openIdJwtLogin(here.serverMetadata(), AUDIENCE), renewed.id_token);
            assert.equal(payload.sub, 'alice', payload.refused);
          }
          const message = 'discovered metadata issuer does not match the expected issuer';
          for (const wrong of [`${stage.url}/`, staged.url]) {
            await assert.rejects(openIdConfig(library, wrong, staged.made.client.librechat), { message });
          }
        });
      } finally {
        await stage.stop();
      }
    });

    for (const alg of ['RS256', 'PS256', 'ES256']) {
      it(`${alg}: renewed by openid-client, verified by jwks-rsa`, async () => {
        const made = registrations({ keys: [alg], clients: { librechat: `${CLIENT} --alg ${alg}` } });
        await withServer(made, {}, async (other) => {
          const here = await openIdConfig(library, other.url, made.client.librechat);
          const tokens = await issue(other);
          const renewed = await library.refreshTokenGrant(here, tokens.refresh_token, { scope: SCOPE });
          assert.equal(renewed.claims().sub, 'alice');
          for (const token of [renewed.id_token, renewed.access_token]) {
            assert.equal(decode(token).header.alg, alg);
            const payload = await authenticate(openIdJwtLogin(here.serverMetadata(), AUDIENCE), token);
            assert.equal(payload.sub, 'alice', payload.refused);
          }
        });
      });
    }

    it('EdDSA: openid-client renews, jwks-rsa does not verify (so: not for LibreChat)', async () => {
      const made = registrations({ keys: ['EdDSA'], clients: { librechat: `${CLIENT} --alg EdDSA` } });
      await withServer(made, {}, async (other) => {
        const here = await openIdConfig(library, other.url, made.client.librechat);
        const tokens = await issue(other);
        const renewed = await library.refreshTokenGrant(here, tokens.refresh_token, { scope: SCOPE });
        assert.equal(renewed.claims().sub, 'alice');
        const verdict = authenticate(openIdJwtLogin(here.serverMetadata(), AUDIENCE), renewed.id_token);
        const refused = await verdict.then(({ refused }) => refused, (error) => String(error));
        assert.ok(refused, 'jwks-rsa verifies EdDSA now: change docs/librechat.md');
      });
    });

    it('a renewal window is a failure to LibreChat, though not the end of the session', async () => {
      await withServer(server.made, { LATCHKEY_WINDOW_SECONDS: '60' }, async (windowed) => {
        const here = await openIdConfig(library, windowed.url, windowed.made.client.librechat);
        const tokens = await issue(windowed);
        await assert.rejects(library.refreshTokenGrant(here, tokens.refresh_token, { scope: SCOPE }), {
          error: 'invalid_request', error_description: /^too early: renewal of this session opens at /, status: 400,
        });
        const soon = await issue(windowed, 'librechat', { expires_in: 30 });
        const renewed = await library.refreshTokenGrant(here, soon.refresh_token, { scope: SCOPE });
        assert.equal(renewed.claims().sub, 'alice');
      });
    });

    it('every refusal of the path is recognised: 4xx without WWW-Authenticate', async () => {
      const { client_id, client_secret } = server.made.client.librechat;
      const good = { grant_type: 'refresh_token', refresh_token: (await issue(server)).refresh_token, client_id, client_secret };
      const cases = [
        [{ ...good, refresh_token: tamper(`..${good.refresh_token}`).slice(2) }, 400, 'invalid_grant'],
        [{ ...good, refresh_token: 'lk1_unknown' }, 400, 'invalid_grant'],
        [{ ...good, refresh_token: '' }, 400, 'invalid_request'],
        [{ ...good, grant_type: 'password' }, 400, 'unsupported_grant_type'],
        [{ ...good, client_secret: 'wrong' }, 401, 'invalid_client'],
        [{ ...good, client_id: 'unknown' }, 401, 'invalid_client'],
      ];
      for (const [members, status, error] of cases) {
        const answer = await post(`${server.url}/token/renew`, members);
        assert.deepEqual([answer.status, answer.json.error], [status, error]);
        assert.equal(answer.headers.get('www-authenticate'), null, error);
      }
      const wrong = await openIdConfig(library, server.url, { client_id, client_secret: 'wrong' });
      await assert.rejects(library.refreshTokenGrant(wrong, good.refresh_token), { error: 'invalid_client', status: 401 });
      await assert.rejects(refresh({ refresh_token: 'lk1_unknown' }), { error: 'invalid_grant', status: 400 });
      // With Basic, only the client's own failure may carry the header.
      const basic = await post(`${server.url}/token/renew`, { grant_type: 'refresh_token', refresh_token: 'lk1_unknown' }, {
        authorization: rawBasic(client_id, client_secret),
      });
      assert.deepEqual([basic.status, basic.json.error, basic.headers.get('www-authenticate')], [400, 'invalid_grant', null]);
      assert.equal((await refresh(good)).claims().sub, 'alice', 'nothing of this has ended the session');
    });
  });
}
