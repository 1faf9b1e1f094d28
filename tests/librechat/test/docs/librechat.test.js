import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { exchangeAuthorization, startAuthorization } from '@modelcontextprotocol/sdk/client/auth.js';
import axios from 'axios';
import yaml from 'js-yaml';
import jwt from 'jsonwebtoken';
import jwksRsa from 'jwks-rsa';
import { configSchema } from 'librechat-data-provider';

import { Browser, signIn } from '../../lib/browser.js';
import { Chat } from '../../lib/chat.js';
import { authenticate, jwtLogin } from '../../lib/librechat.js';
import { Latchkey, post, rawBasic, sleep } from '../../lib/latchkey.js';
import { assertUsersUpdate, CHAT, Follower, Page, withStage } from '../../lib/page.js';

const PAGE = new Page('librechat.md');

/** Everything that was written is still there: the schema leaves out in silence what it does not know. */
function assertKept(written, read, where = '') {
  if (written === null || typeof written !== 'object') {
    assert.equal(read, written, where);
    return;
  }
  for (const [name, value] of Object.entries(written)) {
    assert.ok(read && name in read, `${where}.${name} is unknown to LibreChat`);
    assertKept(value, read[name], `${where}.${name}`);
  }
}

describe('docs/librechat.md: its commands, settings and yaml', () => {
  for (const version of ['openid-client-6.5', 'openid-client-6.9']) {
    it(`set-up 1: LibreChat with these lines signs in, renews and signs out, by ${version}`, async () => {
      const follower = new Follower(PAGE);
      await follower.run('setup-1');
      await withStage(follower.made, PAGE.settings('latchkey-1'), async (server, real) => {
        const environment = { ...PAGE.settings('librechat-1'), OPENID_CLIENT_SECRET: follower.secrets.librechat };
        environment.OPENID_ISSUER = real(environment.OPENID_ISSUER);
        const chat = await Chat.start(version, environment);
        const click = async (browser, roles, path = '/oauth/openid') => {
          const claims = JSON.stringify({ ...JSON.parse(PAGE.block('claims-1')), ...(roles && { roles }) });
          const members = { subject: 'alice', claims };
          return browser.leave(await signIn(server, await browser.leave(CHAT + path), members, { browser }));
        };
        const refresh = async (browser) => JSON.parse((await browser.open(`${CHAT}/api/auth/refresh`)).text);
        try {
          const browser = chat.browser();
          assert.equal((await click(browser)).href, `${CHAT}/`);
          const { token, user } = await refresh(browser);
          assert.deepEqual([user.name, user.email, user.username], ['Alice', 'alice@example.org', 'alice']);
          assert.equal((await chat.letsIn(token)).sub, 'alice');
          assert.equal((await click(chat.browser(), undefined, '/api/admin/oauth/openid')).href, `${CHAT}/`, 'the admin panel');

          const { redirect } = JSON.parse((await browser.open(`${CHAT}/api/auth/logout`)).text);
          const portal = await browser.leave(redirect);
          assert.equal(portal.href, `https://portal.example.org/sign-out?return_to=${encodeURIComponent(`${CHAT}/login`)}`);
          assert.deepEqual(await chat.library.refreshTokenGrant(chat.config, user.tokens.refresh_token).catch(({ error }) => error), 'invalid_grant');

          const [, method, route] = /`(DELETE) (\/sessions\?\S+)`/.exec(PAGE.text);
          const second = chat.browser();
          await click(second);
          assert.ok((await refresh(second)).token);
          const { issuer_id, issuer_secret } = follower.made.portal;
          const ended = await fetch(server.url + route, { method, headers: { authorization: rawBasic(issuer_id, issuer_secret) } });
          assert.equal(ended.status, 200, await ended.text());
          assert.equal((await refresh(second)).error, 'invalid_grant');
        } finally {
          await chat.stop();
        }

        const withRoles = await Chat.start(version, { ...environment, ...PAGE.settings('roles-1') });
        try {
          for (const [roles, expected] of [[undefined, 'USER'], [['staff', 'chat-admin'], 'ADMIN']]) {
            const browser = withRoles.browser();
            assert.equal((await click(browser, roles)).href, `${CHAT}/`);
            assert.equal((await refresh(browser)).user.role, expected);
          }
          const refused = (await click(withRoles.browser(), ['guest'])).searchParams.get('message');
          assert.ok(PAGE.text.includes(`| \`${refused}\``), `troubleshooting has ${refused}`);
        } finally {
          await withRoles.stop();
        }
      });
    });
  }

  it('what the troubleshooting says of LibreChat is what it says', async () => {
    const follower = new Follower(PAGE);
    await follower.run('setup-1');
    await withStage(follower.made, PAGE.settings('latchkey-1'), async (server, real) => {
      const environment = { ...PAGE.settings('librechat-1'), OPENID_CLIENT_SECRET: follower.secrets.librechat, JWT_SECRET: 'secret of a test' };
      environment.OPENID_ISSUER = real(environment.OPENID_ISSUER);
      const chat = await Chat.start('openid-client-6.5', environment);
      try {
        const browser = chat.browser();
        const members = { subject: 'alice', claims: PAGE.block('claims-1'), expires_in: 1 };
        const callback = await signIn(server, await browser.leave(`${CHAT}/oauth/openid`), members, { browser });
        const forgotten = (await chat.browser().leave(callback)).searchParams.get('message');
        const { id_token } = await chat.library.refreshTokenGrant(chat.config, (await server.issue('librechat', { expires_in: 1 })).refresh_token);
        await sleep(2100);
        const expired = (await chat.letsBrowserIn(id_token)).refused;
        const other = await Chat.start('openid-client-6.5', { ...environment, OPENID_ISSUER: `${environment.OPENID_ISSUER}/` })
          .then((started) => started.stop(), ({ message }) => message);
        for (const symptom of [forgotten, expired, other]) assert.ok(PAGE.text.includes(`\`${symptom}\``), symptom);
      } finally {
        await chat.stop();
      }
    });
  });

  it('set-up 2: the registered client gets tokens that JWT_SECRET verifies', async () => {
    const secret = randomBytes(32).toString('hex');
    const follower = new Follower(PAGE, { 'jwt-secret.txt': `${secret}\n` });
    await follower.run('setup-2');
    const environment = { ...PAGE.settings('librechat-2'), JWT_SECRET: secret };
    const server = await Latchkey.start(follower.made);
    try {
      const claims = PAGE.block('claims-2').trim();
      const issued = await server.issue('librechat', { claims });
      const renewed = await post(`${server.url}/token/renew`, {
        client_id: 'librechat', client_secret: follower.secrets.librechat, refresh_token: issued.refresh_token, access_token: issued.access_token,
      });
      assert.equal(renewed.status, 200, renewed.text);
      for (const { access_token } of [issued, renewed.json]) {
        const payload = await authenticate(jwtLogin(environment.JWT_SECRET), access_token);
        for (const [name, value] of Object.entries(JSON.parse(claims))) assert.equal(payload[name], value, payload.refused);
      }
    } finally {
      await server.stop();
    }
  });

  it('set-up 3: Remote Agents, MCP and an action get what their yaml and form want', async () => {
    const follower = new Follower(PAGE);
    await follower.run('setup-3');
    await withStage(follower.made, PAGE.settings('latchkey-1'), async (server, real) => {
      const { oidc } = yaml.load(real(PAGE.block('remote-agents'))).endpoints.agents.remoteApi.auth;
      const { access_token } = await server.issue('robot');
      const { header } = jwt.decode(access_token, { complete: true });
      const key = await jwksRsa({ jwksUri: oidc.jwksUri }).getSigningKey(header.kid);
      const payload = jwt.verify(access_token, key.getPublicKey(), { algorithms: ['RS256'], issuer: oidc.issuer, audience: oidc.audience });
      assert.ok(payload.scope.split(' ').includes(oidc.scope));

      const { oauth } = yaml.load(real(PAGE.block('mcp-oauth'))).mcpServers.tools;
      const clientInformation = { client_id: oauth.client_id, client_secret: follower.secrets.tools };
      const metadata = {
        issuer: server.url, authorization_endpoint: oauth.authorization_url, token_endpoint: oauth.token_url,
        response_types_supported: ['code'], token_endpoint_auth_methods_supported: ['client_secret_basic'],
      };
      const { authorizationUrl, codeVerifier } = await startAuthorization(server.url, {
        metadata, clientInformation, redirectUrl: oauth.redirect_uri, scope: oauth.scope, state: 'user:tools',
      });
      const callback = await signIn(server, authorizationUrl);
      assert.equal(callback.origin + callback.pathname, oauth.redirect_uri);
      const tokens = await exchangeAuthorization(server.url, {
        metadata, clientInformation, codeVerifier, redirectUri: oauth.redirect_uri, authorizationCode: callback.searchParams.get('code'),
      });
      assert.equal(tokens.scope, 'tools');
      const authorization = rawBasic(clientInformation.client_id, clientInformation.client_secret);
      const revoked = await post(oauth.revocation_endpoint, { token: tokens.refresh_token }, { authorization });
      assert.equal(revoked.status, 200, revoked.text);

      const action = Object.fromEntries(real(PAGE.block('action')).trim().split('\n').map((line) => line.split('=')));
      const redirect_uri = `${CHAT}/api/actions/ACTION_ID/oauth/callback`;
      const asked = new URL(action.authorization_url);
      asked.search = new URLSearchParams({
        client_id: action.client_id, scope: action.scope, redirect_uri, access_type: 'offline', response_type: 'code', state: 'a JWT',
      });
      const code = (await signIn(server, asked)).searchParams.get('code');
      const form = { grant_type: 'authorization_code', code, redirect_uri, client_id: action.client_id, client_secret: follower.secrets.orders };
      const { data } = await axios.post(action.client_url, new URLSearchParams(form).toString());
      assert.deepEqual([data.scope, data.expires_in], ['orders', 86_400]);
    });
  });

  for (const { name, text } of PAGE.blocks.filter(({ language }) => language === 'yaml')) {
    it(`yaml ${name}: LibreChat's configSchema knows every line of it`, () => {
      const written = yaml.load(text);
      const read = configSchema.safeParse(written);
      assert.ok(read.success, JSON.stringify(read.error?.issues));
      assertKept(written, read.data);
    });
  }

  it("the line for LibreChat's database names fields that its users have", () => {
    assertUsersUpdate(PAGE.block('another-issuer'));
  });

  it('what the troubleshooting says of a redirect URI that is not registered: a page of Latchkey', async () => {
    const follower = new Follower(PAGE);
    await follower.run('setup-1');
    await withStage(follower.made, PAGE.settings('latchkey-1'), async (server) => {
      const asked = new URL(`${server.url}/authorize`);
      asked.search = new URLSearchParams({ client_id: 'librechat', response_type: 'code', redirect_uri: `${CHAT}/oauth/openid/callback/` });
      const { status, location, text } = await new Browser().open(asked);
      assert.deepEqual([status, location], [400, null]);
      assert.ok(!text.includes('callback'));
    });
  });

  it('every block has been tried', () => {
    assert.deepEqual(PAGE.blocks.map(({ name }) => name), [
      'another-issuer', 'setup-1', 'librechat-1', 'latchkey-1', 'claims-1', 'roles-1', 'setup-2', 'librechat-2', 'claims-2', 'setup-3',
      'remote-agents', 'mcp-header', 'mcp-oauth', 'action',
    ]);
  });
});
