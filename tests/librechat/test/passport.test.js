// LibreChat's sign-in with its own parts: express, express-session, passport and openid-client's strategy.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { askFor, portal, signIn } from '../lib/browser.js';
import { Chat } from '../lib/chat.js';
import { freePort, Latchkey, registrations } from '../lib/latchkey.js';
import { Page } from '../lib/page.js';
import { Proxy } from '../lib/proxy.js';

const CHAT = 'https://chat.example.org';
const SIGN_IN = `${CHAT}/oauth/openid`;
const CLIENT = `--requires refresh_token --scope openid profile email --claim email name preferred_username roles
  --redirect-uri ${CHAT}/oauth/openid/callback ${CHAT}/api/admin/oauth/openid/callback
  --post-logout-redirect-uri ${CHAT}/login`.replaceAll('\n', '');
const CLAIMS = { email: 'alice@example.org', name: 'Alice', preferred_username: 'alice', roles: ['staff'] };
const alice = (claims = {}) => ({ subject: 'alice', claims: JSON.stringify({ ...CLAIMS, ...claims }) });
const ENVIRONMENT = {
  DOMAIN_CLIENT: CHAT, DOMAIN_SERVER: CHAT, OPENID_CLIENT_ID: 'librechat', OPENID_SESSION_SECRET: 'session secret of a test',
  OPENID_SCOPE: 'openid profile email', OPENID_CALLBACK_URL: '/oauth/openid/callback', OPENID_NAME_CLAIM: 'name',
  OPENID_USE_END_SESSION_ENDPOINT: 'true',
};

for (const version of ['openid-client-6.5', 'openid-client-6.9']) {
  describe(`LibreChat's strategy in express: ${version}`, () => {
    let server;
    let chat;
    const environment = (more = {}) => ({
      ...ENVIRONMENT, OPENID_ISSUER: server.url, OPENID_CLIENT_SECRET: server.made.client.librechat.client_secret, ...more,
    });
    /** Clicks "Continue with OpenID"; where the browser is in the end. */
    const click = async (browser, members = alice(), { verb, path = SIGN_IN } = {}) =>
      browser.leave(await signIn(server, await browser.leave(path), members, { browser, verb }));
    const refresh = async (browser) => JSON.parse((await browser.open(`${CHAT}/api/auth/refresh`)).text);

    before(async () => {
      server = await Latchkey.start(registrations({
        portal: '--sign-in-url https://portal.example.org/sign-in', clients: { librechat: CLIENT, 'librechat-public': `--public ${CLIENT}` },
      }));
      chat = await Chat.start(version, environment());
    });
    after(async () => {
      await chat?.stop();
      await server?.stop();
    });

    it('sign-in, a bearer that is let in, renewals, sign-out: the next renewal is refused', async () => {
      const browser = chat.browser();
      assert.equal((await click(browser)).href, `${CHAT}/`);
      const { token, user } = await refresh(browser);
      assert.deepEqual([user.name, user.email, user.username, user.role], ['Alice', 'alice@example.org', 'alice', 'USER']);
      assert.equal((await chat.letsIn(token)).sub, 'alice');
      assert.equal((await chat.letsIn((await refresh(browser)).token)).sub, 'alice');

      const last = (await refresh(browser)).user.tokens;
      const { redirect } = JSON.parse((await browser.open(`${CHAT}/api/auth/logout`)).text);
      assert.ok(new URL(redirect).searchParams.has('id_token_hint'), `${redirect.length} characters`);
      assert.equal((await browser.leave(redirect)).href, `${CHAT}/login`);
      await assert.rejects(chat.library.refreshTokenGrant(chat.config, last.refresh_token), { error: 'invalid_grant' });
    });

    it('an ID token that is too long for the address of a sign-out: LibreChat names the client alone, and the session goes on', async () => {
      const browser = chat.browser();
      await click(browser, alice({ roles: Array.from({ length: 100 }, (_, i) => `department-${i}`) }));
      const { tokens } = (await refresh(browser)).user;
      const { redirect } = JSON.parse((await browser.open(`${CHAT}/api/auth/logout`)).text);
      assert.deepEqual([...new URL(redirect).searchParams.keys()], ['post_logout_redirect_uri', 'logout_hint', 'client_id']);
      assert.equal((await browser.leave(redirect)).href, `${CHAT}/login`);
      assert.ok((await chat.library.refreshTokenGrant(chat.config, tokens.refresh_token)).access_token);
    });

    it('OPENID_GENERATE_NONCE and OPENID_AUDIENCE: the sign-in is the same', async () => {
      const other = await Chat.start(version, environment({ OPENID_GENERATE_NONCE: 'true', OPENID_AUDIENCE: CHAT }));
      try {
        assert.equal((await click(other.browser())).href, `${CHAT}/`);
      } finally {
        await other.stop();
      }
    });

    it('a public client, without a secret', async () => {
      const { OPENID_CLIENT_SECRET, ...rest } = environment({ OPENID_CLIENT_ID: 'librechat-public' });
      const other = await Chat.start(version, rest);
      try {
        const browser = other.browser();
        assert.equal((await click(browser)).href, `${CHAT}/`);
        assert.equal((await other.letsIn((await refresh(browser)).token)).sub, 'alice');
      } finally {
        await other.stop();
      }
    });

    it("the admin panel's sign-in comes back to its own address", async () => {
      assert.equal((await click(chat.browser(), alice(), { path: `${CHAT}/api/admin/oauth/openid` })).href, `${CHAT}/`);
    });

    it('a sign-in that the portal rejects lands on the login page', async () => {
      const members = { error: 'access_denied', error_description: 'not for guests' };
      const login = await click(chat.browser(), members, { verb: 'reject' });
      assert.equal(login.href, `${CHAT}/login?message=not%20for%20guests`);
    });

    it('roles decide who gets in and who is an administrator, by each kind of token', async () => {
      for (const kind of ['id', 'access', 'userinfo']) {
        const required = kind === 'userinfo' ? {} : {
          OPENID_REQUIRED_ROLE: 'staff', OPENID_REQUIRED_ROLE_TOKEN_KIND: kind, OPENID_REQUIRED_ROLE_PARAMETER_PATH: 'roles',
        };
        const other = await Chat.start(version, environment({
          ...required, OPENID_ADMIN_ROLE: 'chat-admin', OPENID_ADMIN_ROLE_TOKEN_KIND: kind, OPENID_ADMIN_ROLE_PARAMETER_PATH: 'roles',
        }));
        try {
          for (const [roles, role] of [[['staff', 'chat-admin'], 'ADMIN'], [['staff'], 'USER']]) {
            const browser = other.browser();
            await click(browser, alice({ roles }));
            assert.equal((await refresh(browser)).user.role, role, kind);
          }
          if (!required.OPENID_REQUIRED_ROLE) continue;
          const refused = await click(other.browser(), alice({ roles: ['guest'] }));
          assert.equal(refused.searchParams.get('message'), 'You must have "staff" role to log in.');
        } finally {
          await other.stop();
        }
      }
    });

    it('while the table is down the exchange fails, and nothing is lost', async () => {
      const port = await freePort();
      const table = await Latchkey.start(server.made, {}, '--dynamodb-listen', `127.0.0.1:${port}`);
      const road = await Proxy.start();
      road.target = `http://127.0.0.1:${port}`;
      const cut = await Latchkey.start(server.made, {
        AWS_ENDPOINT_URL_DYNAMODB: road.url, AWS_REGION: 'us-east-1', AWS_ACCESS_KEY_ID: 'local', AWS_SECRET_ACCESS_KEY: 'local',
      });
      const other = await Chat.start(version, environment({ OPENID_ISSUER: cut.url }));
      try {
        const browser = other.browser();
        const ticket = await askFor(await browser.leave(SIGN_IN), browser);
        const { json } = await portal(cut, 'accept', { ticket, ...alice() });
        const callback = await browser.leave(json.redirect_to);
        road.target = `http://127.0.0.1:${await freePort()}`;
        assert.equal((await browser.leave(callback)).pathname, '/login');
        road.target = `http://127.0.0.1:${port}`;
        // openid-client 6.9 forgets the request at the first try: alice clicks once more.
        const next = version === 'openid-client-6.5' ? callback : await signIn(cut, await browser.leave(SIGN_IN), alice(), { browser });
        assert.equal((await browser.leave(next)).href, `${CHAT}/`);
      } finally {
        await other.stop();
        await cut.stop();
        await table.stop();
        await road.stop();
      }
    });
  });
}

describe('The demo of `latchkey serve`, and a LibreChat on this machine', () => {
  it("the README's lines are enough to sign in, renew, read userinfo and sign out", async () => {
    const lines = new Page('../README.md').settings('librechat');
    const here = lines.DOMAIN_SERVER;
    const server = await Latchkey.demo();
    const { client_secret } = server.made.client[lines.OPENID_CLIENT_ID];
    const chat = await Chat.start('openid-client-6.5', { ...lines, OPENID_ISSUER: server.url, OPENID_CLIENT_SECRET: client_secret });
    try {
      const browser = chat.browser();
      for (const path of ['/oauth/openid', '/api/admin/oauth/openid']) {
        const callback = await signIn(server, await browser.leave(here + path), alice(), { browser });
        assert.equal((await browser.leave(callback)).href, `${here}/`);
      }
      const { token, user } = JSON.parse((await browser.open(`${here}/api/auth/refresh`)).text);
      assert.deepEqual([user.name, user.email], ['Alice', 'alice@example.org']);
      assert.equal((await chat.letsIn(token)).sub, 'alice');
      const { redirect } = JSON.parse((await browser.open(`${here}/api/auth/logout`)).text);
      const portalPage = await browser.leave(redirect);
      assert.equal(portalPage.origin, server.url);
      assert.equal(portalPage.searchParams.get('return_to'), `${here}/login`);
      await assert.rejects(chat.library.refreshTokenGrant(chat.config, user.tokens.refresh_token), { error: 'invalid_grant' });
    } finally {
      await chat.stop();
      await server.stop();
    }
  });
});
