import assert from 'node:assert/strict';
import { once } from 'node:events';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import express from 'express';
import jwt from 'jsonwebtoken';

import { signIn } from '../../lib/browser.js';
import { Chat } from '../../lib/chat.js';
import { authenticate, decode, jwtLogin } from '../../lib/librechat.js';
import { post, rawBasic, sleep } from '../../lib/latchkey.js';
import { assertUsersUpdate, CHAT, Follower, ISSUER, Page, withStage } from '../../lib/page.js';

const PAGE = new Page('from-endless-tokens.md');
const LIBRECHAT_PAGE = new Page('librechat.md');
const ALICE = { id: '665f1c2ab3d4e5f601234567', username: 'alice', provider: 'local', email: 'alice@example.org' };

/** LibreChat's API behind its strategy for JWT_SECRET. A start with another secret takes the place of the last one. */
class LibreChat {
  async start(secret) {
    await this.stop();
    this.secret = secret;
    const app = express().get('/api/user', async (request, response) => {
      const user = await this.letsIn(request.get('authorization').replace('Bearer ', ''));
      response.status(user.refused ? 401 : 200).json(user);
    });
    this.server = app.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    this.url = `http://127.0.0.1:${this.server.address().port}`;
  }

  letsIn(bearer) {
    return authenticate(jwtLogin(this.secret), bearer);
  }

  async stop() {
    if (!this.server) return;
    this.server.close();
    this.server.closeAllConnections();
    await once(this.server, 'close');
  }
}

/** Asks again until the answer is good: what the command line has changed is read within the cache time, a second here. */
async function soon(ask, isGood) {
  for (let attempt = 0; attempt < 40; attempt += 1) {
    const answer = await ask();
    if (isGood(answer)) return answer;
    await sleep(200);
  }
  throw new Error('the change has not arrived');
}

/**
 * An installation whose portal signs tokens that never expire. `body` gets it after step 2, with Latchkey and LibreChat running;
 * `step` runs a block of the page.
 */
async function installation(body) {
  const oldSecret = randomBytes(32).toString('hex');
  const old = jwt.sign({ iss: 'https://portal.example.org', ...ALICE }, oldSecret);
  const follower = new Follower(PAGE, { 'jwt-secret.txt': oldSecret });
  const chat = new LibreChat();
  await chat.start(oldSecret);
  try {
    await follower.run('set-up');
    await withStage(follower.made, { LATCHKEY_ISSUER: ISSUER }, async (server, real) => {
      const step = (name, token = old) => follower.run(name, {
        environment: { OLD: token, PORTAL_SECRET: follower.secrets.portal },
        real: (text) => real(text).replaceAll(`${CHAT}/api/user`, `${chat.url}/api/user`),
      });
      const renew = ({ access_token, refresh_token }) => post(`${server.url}/token/renew`, {
        access_token, refresh_token, client_id: 'librechat-jwt', client_secret: follower.secrets['librechat-jwt'],
      });
      /** An exchange that succeeds, as soon as the waiver is in force. */
      const exchange = async (token) => JSON.parse(await soon(() => step('exchange', token), (text) => text.includes('access_token')));
      /** Writes a block's members into the client's registration, and waits until tokens are signed by its key. */
      const rename = async (name) => {
        const registrations = JSON.parse(follower.read('clients.json'));
        const members = JSON.parse(PAGE.block(name));
        Object.assign(registrations.clients.find(({ client_id }) => client_id === 'librechat-jwt'), members);
        follower.write('clients.json', JSON.stringify(registrations));
        const issue = async () => {
          const text = await step('issue');
          return text.includes('access_token') && decode(JSON.parse(text).access_token).header.kid;
        };
        await soon(issue, (kid) => kid === members.kid);
      };
      await body({ server, follower, chat, old, oldSecret, step, renew, exchange, rename, real });
    });
  } finally {
    await chat.stop();
  }
}

const shows = (printed, name) => {
  for (const line of PAGE.block(name).trim().split('\n')) assert.ok(printed.includes(line), `${name}: ${line}\n${printed}`);
};

describe('docs/from-endless-tokens.md', () => {
  it('the whole way: each step shows what the page says, and at the end an old token is refused everywhere', async () => {
    await installation(async ({ server, follower, chat, old, oldSecret, step, renew, exchange, rename }) => {
      shows(await step('look'), 'look-shows');

      await step('waiver');
      const exchanged = await exchange(old);
      assert.equal(exchanged.expires_in, 86_400);
      const { payload } = decode(exchanged.access_token);
      assert.deepEqual([payload.sub, payload.exp - payload.iat], [ALICE.id, 86_400]);
      for (const token of [old, exchanged.access_token]) assert.equal((await chat.letsIn(token)).id, ALICE.id);
      const renewed = await renew(exchanged);
      assert.equal(renewed.status, 200, renewed.text);
      follower.write('server.log', server.log);
      assert.match(await step('progress'), /token_issued .*issuer_id=old-portal/);

      const issued = JSON.parse(await step('issue'));
      assert.equal((await chat.letsIn(issued.access_token)).email, ALICE.email);
      const sessions = await fetch(`${server.url}/sessions?client_id=librechat-jwt&subject=${ALICE.id}`, {
        headers: { authorization: rawBasic('portal', follower.secrets.portal) },
      });
      assert.equal((await sessions.json()).sessions.length, 2, 'exchanged and issued ones are the same user');

      await step('new-secret');
      await rename('new-kid');
      const newSecret = follower.read('new-jwt-secret.txt');
      assert.match(newSecret, /^[0-9a-f]{64}$/);
      await chat.start(newSecret);
      shows(await step('refused'), 'refused-shows');
      for (const tokens of [renewed.json, issued]) {
        assert.deepEqual(await chat.letsIn(tokens.access_token), { refused: 'invalid signature' });
        const after = await renew(tokens);
        assert.equal(after.status, 200, 'nobody signs in again');
        assert.equal((await chat.letsIn(after.json.access_token)).id, ALICE.id);
        Object.assign(tokens, after.json);
      }
      const straggler = JSON.parse(await step('exchange'));
      assert.equal((await chat.letsIn(straggler.access_token)).id, ALICE.id);

      await step('close');
      const proof = await soon(() => step('prove'), (text) => text.includes('invalid_grant'));
      shows(proof, 'prove-shows');
      const made = jwt.sign({ iss: 'https://portal.example.org', ...ALICE }, oldSecret);
      shows(await step('prove', made), 'prove-shows');
      for (const tokens of [renewed.json, issued, straggler]) assert.equal((await renew(tokens)).status, 200, 'their sessions go on');

      const registrations = JSON.parse(follower.read('clients.json'));
      delete registrations.clients[0].previous_kids;
      follower.write('clients.json', JSON.stringify(registrations));
      await step('clean-up');
      const last = await soon(async () => JSON.parse(await step('issue')), ({ access_token }) => access_token);
      assert.equal((await chat.letsIn(last.access_token)).id, ALICE.id);
      assert.equal((await renew(last)).status, 200);
    });
  });

  it('the way back from step 5: the old secret again, and nobody signs in anew', async () => {
    await installation(async ({ follower, chat, old, oldSecret, step, renew, rename }) => {
      await step('new-secret');
      await rename('new-kid');
      await chat.start(follower.read('new-jwt-secret.txt'));
      const issued = JSON.parse(await step('issue'));
      assert.equal((await chat.letsIn(issued.access_token)).id, ALICE.id);

      await rename('old-kid');
      await chat.start(oldSecret);
      assert.deepEqual(await chat.letsIn(issued.access_token), { refused: 'invalid signature' });
      const renewed = await renew(issued);
      assert.equal(renewed.status, 200, renewed.text);
      for (const token of [renewed.json.access_token, old]) assert.equal((await chat.letsIn(token)).id, ALICE.id);
    });
  });

  it('the way back from step 6: an exchange that was closed can be opened again', async () => {
    await installation(async ({ follower, old, step, exchange }) => {
      const [, reopen] = /`latchkey (issuer enable old-portal)`/.exec(PAGE.text);
      await step('waiver');
      await exchange(old);
      await step('close');
      await soon(() => step('exchange'), (text) => text.includes('invalid_grant'));
      follower.made.run([...reopen.split(' '), '--file', 'clients.json']);
      assert.ok((await exchange(old)).access_token);
    });
  });

  it('a token without iss, or without iat, is no assertion: the portal verifies it itself, and issues', async () => {
    await installation(async ({ chat, old, oldSecret, step, exchange }) => {
      await step('waiver');
      await exchange(old);
      const withoutIss = jwt.sign(ALICE, oldSecret);
      const withoutIat = jwt.sign({ iss: 'https://portal.example.org', ...ALICE }, oldSecret, { noTimestamp: true });
      for (const token of [withoutIss, withoutIat]) {
        assert.equal((await chat.letsIn(token)).id, ALICE.id);
        assert.match(await step('exchange', token), /invalid_grant/);
        const { id } = jwt.verify(token, oldSecret);
        const issued = JSON.parse(await step('issue'));
        assert.equal((await chat.letsIn(issued.access_token)).id, id);
      }
    });
  });

  it('whoever knows the new secret can make tokens that never expire', async () => {
    const secret = randomBytes(32).toString('hex');
    assert.equal((await authenticate(jwtLogin(secret), jwt.sign(ALICE, secret))).id, ALICE.id);
  });

  it("the line for LibreChat's database names fields that its users have", () => {
    assertUsersUpdate(PAGE.block('accounts'));
  });

  it('people sign in by OpenID: that alone ends no old token, a new JWT_SECRET does, and they stay signed in', async () => {
    await installation(async ({ server, follower, old, oldSecret, step, real }) => {
      await step('openid');
      const environment = {
        ...LIBRECHAT_PAGE.settings('librechat-1'), OPENID_CLIENT_SECRET: follower.secrets.librechat, JWT_SECRET: oldSecret,
      };
      environment.OPENID_ISSUER = real(environment.OPENID_ISSUER);
      const chat = await Chat.start('openid-client-6.5', environment);
      try {
        const browser = chat.browser();
        const claims = LIBRECHAT_PAGE.block('claims-1');
        const asked = await browser.leave(`${CHAT}/oauth/openid`);
        await soon(() => browser.open(asked), ({ location }) => location);
        const callback = await signIn(server, asked, { subject: ALICE.id, claims }, { browser });
        assert.equal((await browser.leave(callback)).href, `${CHAT}/`);
        const refresh = async () => JSON.parse((await browser.open(`${CHAT}/api/auth/refresh`)).text).token;
        assert.equal((await chat.letsBrowserIn(await refresh())).sub, ALICE.id);
        assert.equal((await chat.letsBrowserIn(old)).id, ALICE.id, 'LibreChat tries its own secret, too');
        assert.equal((await authenticate(jwtLogin(chat.environment.JWT_SECRET), old)).id, ALICE.id, 'and without a sign-in at once');

        chat.environment.JWT_SECRET = randomBytes(32).toString('hex');
        assert.equal((await chat.letsBrowserIn(await refresh())).sub, ALICE.id);
        for (const verdict of [chat.letsBrowserIn(old), authenticate(jwtLogin(chat.environment.JWT_SECRET), old)]) {
          assert.deepEqual(await verdict, { refused: 'invalid signature' });
        }
      } finally {
        await chat.stop();
      }
    });
  });

  it('every block has been tried', () => {
    assert.deepEqual(PAGE.blocks.map(({ name }) => name), [
      'look', 'look-shows', 'set-up', 'waiver', 'exchange', 'progress', 'issue', 'openid', 'accounts', 'new-secret', 'new-kid', 'refused',
      'refused-shows', 'old-kid', 'close', 'clean-up', 'prove', 'prove-shows',
    ]);
  });
});
