// The code flow with the libraries of real clients; browser and portal are played by the test.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import * as oauth from 'oauth4webapi';

import { askFor, Browser, portal, signIn } from '../lib/browser.js';
import { openIdConfig } from '../lib/librechat.js';
import { Latchkey, registrations, sleep } from '../lib/latchkey.js';

const CHAT = 'https://chat.example.org';
const CALLBACK = `${CHAT}/oauth/openid/callback`;
const LOGGED_OUT = `${CHAT}/login`;
const CLIENT = `--requires refresh_token --scope openid profile email --claim email name --redirect-uri ${CALLBACK} --post-logout-redirect-uri ${LOGGED_OUT}`;
const PORTAL = '--sign-in-url https://portal.example.org/sign-in';
const ALICE = { subject: 'alice', claims: JSON.stringify({ email: 'alice@example.org', name: 'Alice' }) };
const now = () => Math.floor(Date.now() / 1000);

for (const version of ['openid-client-6.5', 'openid-client-6.9']) {
  describe(`Sign-in: ${version}`, () => {
    let library;
    let server;
    let config;

    /** An authorization request as LibreChat makes it, and what its answer is checked against. */
    async function request(parameters = {}) {
      const pkceCodeVerifier = library.randomPKCECodeVerifier();
      const expectedState = library.randomState();
      const url = library.buildAuthorizationUrl(config, {
        redirect_uri: CALLBACK,
        scope: 'openid profile email',
        code_challenge: await library.calculatePKCECodeChallenge(pkceCodeVerifier),
        code_challenge_method: 'S256',
        state: expectedState,
        ...parameters,
      });
      return { url, checks: { pkceCodeVerifier, expectedState } };
    }
    const refresh = (tokens) => library.refreshTokenGrant(config, tokens.refresh_token, { scope: 'openid profile email' });
    const gone = { error: 'invalid_grant', status: 400 };

    before(async () => {
      library = await import(version);
      server = await Latchkey.start(registrations({
        portal: `${PORTAL} --sign-out-url https://portal.example.org/sign-out`, clients: { librechat: CLIENT, 'libre-chat': CLIENT },
      }));
      config = await openIdConfig(library, server.url, server.made.client.librechat);
    });
    after(() => server?.stop());

    it('discovery → sign-in → tokens → userinfo → renewal → sign-out, then the renewal is refused', async () => {
      const { url, checks } = await request();
      assert.equal(url.origin, server.url);
      const callback = await signIn(server, url, ALICE);
      assert.equal(callback.origin + callback.pathname, CALLBACK);
      const tokens = await library.authorizationCodeGrant(config, callback, checks);
      assert.equal(tokens.token_type, 'bearer');
      assert.equal(tokens.expires_in, 86_400);
      const claims = tokens.claims();
      assert.deepEqual([claims.sub, claims.email, claims.name, claims.aud], ['alice', 'alice@example.org', 'Alice', 'librechat']);
      assert.equal(claims.nonce, undefined);

      const info = await library.fetchUserInfo(config, tokens.access_token, 'alice');
      assert.deepEqual([info.sub, info.email, info.name], ['alice', 'alice@example.org', 'Alice']);
      await assert.rejects(library.fetchUserInfo(config, tokens.access_token, 'bob'));

      const renewed = await refresh(tokens);
      assert.equal(renewed.claims().sub, 'alice');
      assert.equal(renewed.claims().sid, claims.sid, 'one session');
      assert.equal((await library.fetchUserInfo(config, renewed.access_token, 'alice')).name, 'Alice');

      const end = library.buildEndSessionUrl(config, {
        id_token_hint: renewed.id_token, post_logout_redirect_uri: LOGGED_OUT, state: 'out',
      });
      const left = await new Browser().leave(end);
      assert.equal(left.origin + left.pathname, 'https://portal.example.org/sign-out');
      assert.equal(left.searchParams.get('return_to'), `${LOGGED_OUT}?state=out`);
      await assert.rejects(refresh(renewed), gone);
      await assert.rejects(library.fetchUserInfo(config, renewed.access_token, 'alice'), { status: 401 });
    });

    it('nonce and max_age: the ID token carries what was asked for, in later ones without the nonce', async () => {
      const expectedNonce = library.randomNonce();
      const { url, checks } = await request({ nonce: expectedNonce, max_age: '300' });
      const browser = new Browser();
      const ticket = await askFor(url, browser);
      const asked = (await portal(server, 'inspect', { ticket })).json;
      assert.deepEqual([asked.client_id, asked.max_age, asked.redirect_uri], ['librechat', 300, CALLBACK]);
      for (const members of [{}, { auth_time: now() - 400 }]) {
        const early = await portal(server, 'accept', { ticket, ...ALICE, ...members });
        assert.deepEqual([early.status, early.json.error], [400, 'invalid_request'], 'the user has to sign in again');
      }
      const auth_time = now() - 5;
      const accepted = await portal(server, 'accept', { ticket, ...ALICE, auth_time, acr: 'urn:example:two', amr: 'pwd otp' });
      assert.equal(accepted.status, 200, accepted.text);
      const callback = await browser.leave(accepted.json.redirect_to);
      const tokens = await library.authorizationCodeGrant(config, callback, { ...checks, expectedNonce, maxAge: 300 });
      const expected = { auth_time, acr: 'urn:example:two', amr: ['pwd', 'otp'] };
      for (const [set, nonce] of [[tokens, expectedNonce], [await refresh(tokens), undefined]]) {
        const claims = set.claims();
        assert.equal(claims.nonce, nonce);
        for (const [name, value] of Object.entries(expected)) assert.deepEqual(claims[name], value, name);
      }
    });

    it('a sign-in that the portal rejects is access_denied to the client', async () => {
      const { url, checks } = await request();
      const members = { error: 'access_denied', error_description: 'not for guests' };
      const callback = await signIn(server, url, members, { verb: 'reject' });
      await assert.rejects(library.authorizationCodeGrant(config, callback, checks), {
        name: 'AuthorizationResponseError', error: 'access_denied', error_description: 'not for guests',
      });
    });

    it('client_secret_basic, percent-encoded as the library does it: the same sign-in', async () => {
      const { client_id, client_secret } = server.made.client['libre-chat'];
      const execute = { execute: [library.allowInsecureRequests] };
      const basic = await library.discovery(new URL(server.url), client_id, {}, library.ClientSecretBasic(client_secret), execute);
      const { url, checks } = await request({ client_id });
      const tokens = await library.authorizationCodeGrant(basic, await signIn(server, url, ALICE), checks);
      assert.equal(tokens.claims().aud, client_id);
    });

    it('a silent sign-in (prompt=none) is login_required when nobody is signed in at the portal', async () => {
      const { url, checks } = await request({ prompt: 'none', login_hint: 'alice@example.org' });
      const browser = new Browser();
      const ticket = await askFor(url, browser);
      const asked = (await portal(server, 'inspect', { ticket })).json;
      assert.deepEqual([asked.prompt, asked.login_hint], ['none', 'alice@example.org']);
      const { json } = await portal(server, 'reject', { ticket, error: 'login_required' });
      const callback = await browser.leave(json.redirect_to);
      await assert.rejects(library.authorizationCodeGrant(config, callback, checks), { error: 'login_required' });
    });

    it('another iss, or none, and another state: the client refuses, and the code stays good', async () => {
      const { url, checks } = await request();
      const callback = await signIn(server, url, ALICE);
      const forged = { iss: 'https://id.example.net', state: 'another' };
      for (const [name, value] of [...Object.entries(forged), ['iss', null]]) {
        const wrong = new URL(callback);
        if (value) wrong.searchParams.set(name, value);
        else wrong.searchParams.delete(name);
        await assert.rejects(
          library.authorizationCodeGrant(config, wrong, checks), ({ cause }) => cause.message.includes(`"${name}"`), wrong.href,
        );
      }
      assert.equal((await library.authorizationCodeGrant(config, callback, checks)).claims().sub, 'alice');
    });

    it('another verifier does nothing; the second use of a code ends the session', async () => {
      const { url, checks } = await request();
      const callback = await signIn(server, url, ALICE);
      const other = { ...checks, pkceCodeVerifier: library.randomPKCECodeVerifier() };
      await assert.rejects(library.authorizationCodeGrant(config, callback, other), gone);
      const tokens = await library.authorizationCodeGrant(config, callback, checks);
      const renewed = await refresh(tokens);
      await assert.rejects(library.authorizationCodeGrant(config, callback, other), gone);
      const again = await refresh(renewed);
      await assert.rejects(library.authorizationCodeGrant(config, callback, checks), gone);
      await assert.rejects(refresh(again), gone);
    });

    it('an exchange whose answer was lost costs one more click: its repetition ends the session', async () => {
      const { url, checks } = await request();
      const callback = await signIn(server, url, ALICE);
      const shaky = await openIdConfig(library, server.url, server.made.client.librechat);
      let given;
      shaky[library.customFetch] = async (...call) => {
        given = await (await fetch(...call)).json();
        throw new TypeError('fetch failed');
      };
      await assert.rejects(library.authorizationCodeGrant(shaky, callback, checks), { message: 'fetch failed' });
      await assert.rejects(library.authorizationCodeGrant(config, callback, checks), gone);
      await assert.rejects(refresh(given), gone);
      const again = await request();
      const tokens = await library.authorizationCodeGrant(config, await signIn(server, again.url, ALICE), again.checks);
      assert.equal(tokens.claims().sub, 'alice');
    });

    it('two tabs of a browser sign in side by side, and either may come back first', async () => {
      const browser = new Browser();
      const tabs = await Promise.all([request(), request()]);
      const tickets = [await askFor(tabs[0].url, browser), await askFor(tabs[1].url, browser)];
      for (const tab of [1, 0]) {
        const { json } = await portal(server, 'accept', { ticket: tickets[tab], ...ALICE });
        const callback = await browser.leave(json.redirect_to);
        // The back button: the same answer, the same code.
        assert.equal((await browser.leave(json.redirect_to)).href, callback.href);
        assert.equal((await library.authorizationCodeGrant(config, callback, tabs[tab].checks)).claims().sub, 'alice');
      }
    });

    it('an answer is of no use in another browser', async () => {
      const { url } = await request();
      const thief = new Browser();
      const ticket = await askFor(url, thief);
      const { json } = await portal(server, 'accept', { ticket, ...ALICE });
      const victim = new Browser();
      await askFor((await request()).url, victim);
      for (const browser of [victim, new Browser()]) {
        const { status, location } = await browser.open(json.redirect_to);
        assert.deepEqual([status, location], [400, null]);
      }
      assert.ok((await thief.leave(json.redirect_to)).searchParams.get('code'));
    });

    it('an address that is not registered gets a page, never a redirect', async () => {
      for (const redirect_uri of [`${CALLBACK}/`, 'https://chat.example.net/oauth/openid/callback']) {
        const { status, location } = await new Browser().open((await request({ redirect_uri })).url);
        assert.deepEqual([status, location], [400, null]);
      }
    });

    it('sign-out: an expired hint is good, a client_id without one ends nothing', async () => {
      const start = async (members) => {
        const { url, checks } = await request();
        return library.authorizationCodeGrant(config, await signIn(server, url, { ...ALICE, ...members }), checks);
      };
      // What LibreChat sends when the address would be longer than 2,000 characters.
      const lasting = await start();
      const end = new URL(config.serverMetadata().end_session_endpoint);
      end.search = new URLSearchParams({ client_id: 'librechat', logout_hint: 'alice', post_logout_redirect_uri: LOGGED_OUT });
      assert.equal((await new Browser().leave(end)).searchParams.get('return_to'), LOGGED_OUT);
      assert.equal((await refresh(lasting)).claims().sub, 'alice');

      const short = await start({ expires_in: 1 });
      await sleep(2100);
      end.search = new URLSearchParams({ id_token_hint: short.id_token, post_logout_redirect_uri: 'https://chat.example.net/' });
      const left = await new Browser().leave(end);
      assert.equal(left.href, 'https://portal.example.org/sign-out', 'an address that is not registered counts as absent');
      await assert.rejects(refresh(short), gone);
    });
  });
}

describe('Sign-in: oauth4webapi, a public client', () => {
  const insecure = { [oauth.allowInsecureRequests]: true };
  const client = { client_id: 'app' };
  const redirectUri = 'http://127.0.0.1:34567/callback';
  let server;
  let as;

  /** A sign-in up to the library's own check of the answer; `exchange` may be called again. */
  async function start() {
    const verifier = oauth.generateRandomCodeVerifier();
    const state = oauth.generateRandomState();
    const nonce = oauth.generateRandomNonce();
    const url = new URL(as.authorization_endpoint);
    url.search = new URLSearchParams({
      client_id: client.client_id, response_type: 'code', redirect_uri: redirectUri, scope: 'openid email', state, nonce,
      code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
    });
    const callback = await signIn(server, url, ALICE);
    const parameters = oauth.validateAuthResponse(as, client, callback, state);
    const exchange = async () => {
      const response = await oauth.authorizationCodeGrantRequest(as, client, oauth.None(), parameters, redirectUri, verifier, insecure);
      const checks = { expectedNonce: nonce, requireIdToken: true };
      const tokens = await oauth.processAuthorizationCodeResponse(as, client, response, checks);
      await oauth.validateApplicationLevelSignature(as, response, insecure);
      return tokens;
    };
    return { exchange };
  }
  async function refresh({ refresh_token }) {
    const response = await oauth.refreshTokenGrantRequest(as, client, oauth.None(), refresh_token, insecure);
    return oauth.processRefreshTokenResponse(as, client, response);
  }

  before(async () => {
    // A program on somebody's machine: its port is another one each time (RFC 8252 §7.3).
    const registered = 'http://127.0.0.1/callback';
    server = await Latchkey.start(registrations({
      portal: PORTAL,
      clients: { app: `--public --requires refresh_token --scope openid email --claim email --redirect-uri ${registered}` },
    }));
    const issuer = new URL(server.url);
    as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, insecure));
  });
  after(() => server?.stop());

  it('sign-in → tokens with a signature that is checked → userinfo → renewal → revocation', async () => {
    const tokens = await (await start()).exchange();
    assert.equal(oauth.getValidatedIdTokenClaims(tokens).email, 'alice@example.org');
    const response = await oauth.userInfoRequest(as, client, tokens.access_token, insecure);
    assert.equal((await oauth.processUserInfoResponse(as, client, 'alice', response)).email, 'alice@example.org');
    const renewed = await refresh(tokens);
    assert.equal(oauth.getValidatedIdTokenClaims(renewed).sub, 'alice');
    await oauth.processRevocationResponse(
      await oauth.revocationRequest(as, client, oauth.None(), renewed.refresh_token, insecure),
    );
    await assert.rejects(refresh(renewed), { error: 'invalid_grant' });
  });

  it('a code is good once', async () => {
    const { exchange } = await start();
    const tokens = await exchange();
    await assert.rejects(exchange(), { error: 'invalid_grant', status: 400 });
    await assert.rejects(refresh(tokens), { error: 'invalid_grant' });
  });

  it('without PKCE the client is told so, at its own address', async () => {
    const url = new URL(as.authorization_endpoint);
    url.search = new URLSearchParams({ client_id: 'app', response_type: 'code', redirect_uri: redirectUri, state: 'here' });
    const callback = await new Browser().leave(url);
    assert.throws(() => oauth.validateAuthResponse(as, client, callback, 'here'), { error: 'invalid_request' });
  });
});
