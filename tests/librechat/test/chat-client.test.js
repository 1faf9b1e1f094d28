import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { authenticate, openIdConfig, openIdJwtLogin } from '../lib/librechat.js';
import { Latchkey, post, registrations, sleep } from '../lib/latchkey.js';
import { Proxy } from '../lib/proxy.js';

// A model of a chat client. It follows README "How LibreChat should renew"; every third answer to it is lost on the way.
const LIVES = 100;

describe('A chat client, every third answer lost: never signed out', { concurrency: true }, () => {
  let server;
  let road;
  let over = false;

  before(async () => {
    const requires = (what) => `--scope openid --grace-seconds 60 --requires ${what}`;
    server = await Latchkey.start(registrations({
      clients: {
        oauth: requires('refresh_token'),
        both: requires('access_token'),
        'public-oauth': `--public ${requires('refresh_token')}`,
        'public-both': `--public ${requires('access_token')}`,
      },
    }));
    road = await Proxy.start({ loses: (answer) => answer % 3 === 0 });
    road.target = server.url;
  });
  after(async () => {
    over = true;
    await road?.stop();
    await server?.stop();
  });

  /** Renews until an answer arrives; any answer but new tokens would sign the user out. */
  async function renew(client, tokens) {
    for (let pause = 20; ; pause *= 2) {
      assert.ok(!over, 'the test has ended');
      const answer = await post(`${road.url}/token/renew`, {
        grant_type: 'refresh_token', refresh_token: tokens.refresh_token, ...client,
        ...(client.client_id.endsWith('both') && { access_token: tokens.access_token }),
      }).catch((error) => ({ lost: error }));
      if (!answer.lost) {
        assert.equal(answer.status, 200, `signed out: ${answer.text}`);
        return answer.json;
      }
      await sleep(pause);
    }
  }

  /** As a browser does it: a request that hangs is given up, and made again; the third time it counts. */
  async function letIn(strategy, token, attempt = 1) {
    const timer = sleep(5_000).then(() => ({ refused: 'no answer for five seconds, three times' }));
    const payload = await Promise.race([authenticate(strategy, token), timer]);
    return payload.refused?.startsWith('no answer') && attempt < 3 ? letIn(strategy, token, attempt + 1) : payload;
  }

  it(`${LIVES} lives of a second in a row, for each kind of client`, async () => {
    await Promise.all(Object.values(server.made.client).map(async (client) => {
      let tokens = await server.issue(client.client_id, { expires_in: 1 });
      for (let life = 1; life < LIVES; life += 1) {
        await sleep(tokens.expires_in * 800);
        const renewed = await renew(client, tokens);
        assert.notEqual(renewed.refresh_token, tokens.refresh_token);
        tokens = renewed;
      }
    }));
    assert.ok(road.lost >= LIVES, `only ${road.lost} answers were lost`);
  });

  it(`${LIVES} lives of ten seconds, 25 users: the bearer is always one that LibreChat lets in`, async () => {
    const library = await import('openid-client-6.9');
    const client = server.made.client.oauth;
    const config = await openIdConfig(library, server.url, client);
    const strategy = openIdJwtLogin(config.serverMetadata(), client.client_id);
    await Promise.all(Array.from({ length: 25 }, async (_, user) => {
      const subject = `user-${user}`;
      // Times in tokens are whole seconds, so a life of ten lasts nine at least.
      let tokens = await server.issue(client.client_id, { subject, expires_in: 10 });
      for (let life = 1; life <= LIVES / 25; life += 1) {
        const renewal = Date.now() + tokens.expires_in * 800;
        while (Date.now() < renewal) {
          const payload = await letIn(strategy, tokens.id_token);
          assert.equal(payload.sub, subject, payload.refused);
          await sleep(Math.min(500, Math.max(renewal - Date.now(), 1)));
        }
        tokens = await renew(client, tokens);
      }
    }));
  });
});
