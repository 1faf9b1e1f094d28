import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import axios from 'axios';

import { Latchkey, rawBasic, registrations } from '../lib/latchkey.js';

describe('Actions OAuth: axios form posts', () => {
  let server;

  /** An action's renewal; `token_exchange_method` as in the action's settings. */
  async function refreshAccessToken(refresh_token, token_exchange_method, { client_id, client_secret }) {
    const headers = { 'Content-Type': 'application/x-www-form-urlencoded', Accept: 'application/json' };
    const form = new URLSearchParams({ grant_type: 'refresh_token', refresh_token });
    if (token_exchange_method === 'basic_auth_header') {
      headers.Authorization = rawBasic(client_id, client_secret);
    } else {
      form.append('client_id', client_id);
      form.append('client_secret', client_secret);
    }
    const { data } = await axios({ method: 'POST', url: `${server.url}/token/renew`, headers, data: form.toString() });
    return data;
  }

  before(async () => {
    server = await Latchkey.start(
      // Of what form encoding and Basic could get wrong.
      registrations({ clients: { action: '--requires refresh_token --scope read', 'an+action%2F1': '--requires refresh_token' } }),
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
