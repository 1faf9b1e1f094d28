import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import axios from 'axios';
import jwt from 'jsonwebtoken';

import { Browser, signIn } from '../lib/browser.js';
import { Latchkey, rawBasic, registrations } from '../lib/latchkey.js';

const CALLBACK = 'https://chat.example.org/api/actions/ACTION_1/oauth/callback';

describe('Actions OAuth: axios form posts', () => {
  let server;

  /** An action's request to the token endpoint; `token_exchange_method` as in the action's settings. */
  async function tokenRequest(members, token_exchange_method, { client_id, client_secret }) {
    const headers = { 'Content-Type': 'application/x-www-form-urlencoded', Accept: 'application/json' };
    const form = new URLSearchParams(members);
    if (token_exchange_method === 'basic_auth_header') {
      headers.Authorization = rawBasic(client_id, client_secret);
    } else {
      form.append('client_id', client_id);
      form.append('client_secret', client_secret);
    }
    const { data } = await axios({ method: 'POST', url: `${server.url}/token/renew`, headers, data: form.toString() });
    return data;
  }
  const refreshAccessToken = (refresh_token, method, client) => tokenRequest({ grant_type: 'refresh_token', refresh_token }, method, client);
  const getAccessToken = (code, method, client) =>
    tokenRequest({ code, grant_type: 'authorization_code', redirect_uri: CALLBACK }, method, client);

  /** Where LibreChat sends the browser that wants to use an action: no PKCE, a JWT as state. */
  function authorizationUrl({ client_id }) {
    const state = jwt.sign({ nonce: 'n', user: '665f1c2ab3d4e5f601234567', action_id: 'ACTION_1' }, 'jwt secret of a test', { expiresIn: '10m' });
    const url = new URL(`${server.url}/authorize`);
    url.search = new URLSearchParams({
      client_id, scope: 'read', redirect_uri: CALLBACK, access_type: 'offline', response_type: 'code', state,
    });
    return { url, state };
  }

  before(async () => {
    server = await Latchkey.start(
      // Of what form encoding and Basic could get wrong.
      registrations({
        portal: '--sign-in-url https://portal.example.org/sign-in',
        clients: {
          action: `--requires refresh_token --scope read --pkce optional --redirect-uri ${CALLBACK}`,
          'an+action%2F1': `--requires refresh_token --scope read --pkce optional --redirect-uri ${CALLBACK}`,
          strict: `--requires refresh_token --scope read --redirect-uri ${CALLBACK}`,
        },
      }),
      { LATCHKEY_ACCESS_TOKEN_SECONDS: '1800' },
    );
  });
  after(() => server?.stop());

  for (const method of ['default_post', 'basic_auth_header']) {
    it(`${method}: the four fields are there, and the next renewal works with them`, async () => {
      for (const client of Object.values(server.made.client)) {
        let { refresh_token } = await server.issue(client.client_id);
        for (let renewals = 0; renewals < 3; renewals += 1) {
          const data = await refreshAccessToken(refresh_token, method, client);
          assert.equal(typeof data.access_token, 'string');
          assert.equal(data.expires_in, 1800, 'not the 3600 that LibreChat would assume');
          assert.ok(Number.isInteger(data.refresh_token_expires_in) && data.refresh_token_expires_in > 600_000);
          assert.notEqual(data.refresh_token, refresh_token);
          ({ refresh_token } = data);
        }
      }
    });
  }

  for (const method of ['default_post', 'basic_auth_header']) {
    it(`${method}: a sign-in without PKCE, and a renewal; the code is good once`, async () => {
      for (const id of ['action', 'an+action%2F1']) {
        const client = server.made.client[id];
        const { url, state } = authorizationUrl(client);
        const callback = await signIn(server, url);
        assert.equal(callback.origin + callback.pathname, CALLBACK);
        assert.equal(callback.searchParams.get('state'), state);
        const code = callback.searchParams.get('code');
        const data = await getAccessToken(code, method, client);
        assert.deepEqual([typeof data.access_token, data.expires_in, data.scope], ['string', 1800, 'read']);
        const renewed = await refreshAccessToken(data.refresh_token, method, client);
        await assert.rejects(getAccessToken(code, method, client), (error) => error.response.data.error === 'invalid_grant');
        await assert.rejects(refreshAccessToken(renewed.refresh_token, method, client), (error) => error.response.status === 400);
      }
    });
  }

  it('a client whose registration does not say so needs PKCE', async () => {
    const callback = await new Browser().leave(authorizationUrl(server.made.client.strict).url);
    assert.equal(callback.searchParams.get('error'), 'invalid_request');
  });

  it('actions that renew all at once get the same successor', async () => {
    const client = server.made.client.action;
    const { refresh_token } = await server.issue('action');
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, i) => refreshAccessToken(refresh_token, i % 2 ? 'default_post' : 'basic_auth_header', client)),
    );
    assert.equal(new Set(answers.map((data) => data.refresh_token)).size, 1);
    await refreshAccessToken(answers[0].refresh_token, 'default_post', client);
  });

  it('a session that is over, and a wrong secret, are errors to axios', async () => {
    const client = server.made.client.action;
    await assert.rejects(refreshAccessToken('lk1_unknown', 'default_post', client), (error) => error.response.status === 400);
    const wrong = { ...client, client_secret: 'wrong' };
    const { refresh_token } = await server.issue('action');
    for (const method of ['default_post', 'basic_auth_header']) {
      await assert.rejects(refreshAccessToken(refresh_token, method, wrong), (error) => error.response.status === 401);
    }
    await refreshAccessToken(refresh_token, 'default_post', client);
  });
});
