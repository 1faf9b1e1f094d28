import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { after, before, describe, it } from 'node:test';
import {
  auth, discoverAuthorizationServerMetadata, discoverOAuthProtectedResourceMetadata, refreshAuthorization,
} from '@modelcontextprotocol/sdk/client/auth.js';
import {
  OAuthMetadataSchema, OAuthTokensSchema, OpenIdProviderDiscoveryMetadataSchema,
} from '@modelcontextprotocol/sdk/shared/auth.js';

import { Browser, signIn } from '../lib/browser.js';
import { decode } from '../lib/librechat.js';
import { freePort, Latchkey, post, rawBasic, registrations } from '../lib/latchkey.js';
import { Proxy } from '../lib/proxy.js';

// What LibreChat looks for in an error's text; it then drops its tokens or its registration.
const FATAL = /invalid_grant|invalid_client|invalid_request|unauthorized_client|invalid_scope|access_denied|unsupported_grant_type/;
const CALLBACK = 'https://chat.example.org/api/mcp/tools/oauth/callback';

/** What a client keeps of its sign-in at one MCP server, in memory; it was registered beforehand. */
class Provider {
  redirectUrl = CALLBACK;
  forgotten = [];

  constructor(information, scope) {
    this.information = information;
    this.clientMetadata = { redirect_uris: [CALLBACK], scope };
  }

  state() {
    return 'state of a test';
  }

  clientInformation() {
    return this.information;
  }

  tokens() {
    return this.kept;
  }

  saveTokens(tokens) {
    this.kept = tokens;
  }

  redirectToAuthorization(url) {
    this.asked = url;
  }

  saveCodeVerifier(verifier) {
    this.verifier = verifier;
  }

  codeVerifier() {
    return this.verifier;
  }

  invalidateCredentials(what) {
    this.forgotten.push(what);
    if (what === 'tokens') this.kept = undefined;
  }
}

describe('MCP OAuth: SDK 1.30 and plain fetch', () => {
  let made;
  let server;
  let resource;
  /** The address of an MCP server that names Latchkey in its protected-resource metadata. */
  let mcp;

  before(async () => {
    resource = http.createServer((request, response) => {
      const found = request.url.startsWith('/.well-known/oauth-protected-resource');
      response.writeHead(found ? 200 : 404, { 'content-type': 'application/json' });
      response.end(found ? JSON.stringify({ resource: mcp, authorization_servers: [server.url] }) : '{}');
    }).listen(0, '127.0.0.1');
    await once(resource, 'listening');
    mcp = `http://127.0.0.1:${resource.address().port}/mcp`;
    const options = `--requires refresh_token --scope mcp --audience ${mcp} --redirect-uri ${CALLBACK}`;
    made = registrations({
      portal: '--sign-in-url https://portal.example.org/sign-in',
      clients: { mcp: options, 'mcp-public': `--public ${options}` },
    });
    server = await Latchkey.start(made);
  });
  after(async () => {
    resource?.closeAllConnections();
    resource?.close();
    await server?.stop();
  });

  /** Which client, and how it authenticates: `token_endpoint_auth_method`. */
  const METHODS = {
    client_secret_basic: ({ mcp }) => [{ authorization: rawBasic(mcp.client_id, mcp.client_secret) }, {}],
    client_secret_post: ({ mcp }) => [{}, mcp],
    none: (clients) => [{}, { client_id: clients['mcp-public'].client_id }],
  };
  const clientOf = (method) => (method === 'none' ? 'mcp-public' : 'mcp');
  /** LibreChat's renewal by plain fetch. */
  const refresh = (method, refresh_token, url = server.url) => {
    const [headers, members] = METHODS[method](made.client);
    return post(`${url}/token/renew`, { grant_type: 'refresh_token', refresh_token, ...members }, headers);
  };

  for (const id of ['mcp', 'mcp-public']) {
    it(`${id}: the SDK's auth() signs in, renews, and signs in again when the session is over`, async () => {
      const provider = new Provider(made.client[id], 'mcp');
      const signInAgain = async () => {
        assert.equal(await auth(provider, { serverUrl: mcp }), 'REDIRECT');
        assert.equal(provider.asked.searchParams.get('resource'), mcp);
        const callback = await signIn(server, provider.asked);
        assert.equal(callback.origin + callback.pathname, CALLBACK);
        assert.equal(callback.searchParams.get('state'), 'state of a test');
        const authorizationCode = callback.searchParams.get('code');
        assert.equal(await auth(provider, { serverUrl: mcp, authorizationCode }), 'AUTHORIZED');
        const { payload } = decode(provider.kept.access_token);
        assert.deepEqual([payload.sub, [payload.aud].flat(), provider.kept.scope], ['alice', [mcp], 'mcp']);
        return authorizationCode;
      };
      await signInAgain();
      const first = provider.kept;
      assert.equal(await auth(provider, { serverUrl: mcp }), 'AUTHORIZED');
      assert.notEqual(provider.kept.refresh_token, first.refresh_token);

      const { revocation_endpoint } = await discoverAuthorizationServerMetadata(server.url);
      assert.equal((await post(revocation_endpoint, { token: provider.kept.refresh_token, ...made.client[id] })).status, 200);
      const authorizationCode = await signInAgain();
      assert.deepEqual(provider.forgotten, ['tokens']);
      // A code is good once: its second use sends the client back to the sign-in, and ends the session.
      const twice = auth(provider, { serverUrl: mcp, authorizationCode });
      await assert.rejects(twice, { name: 'InvalidGrantError' });
      provider.kept = { ...first };
      assert.equal(await auth(provider, { serverUrl: mcp }), 'REDIRECT');
    });
  }

  it('the scope offline_access, for which the SDK asks with prompt=consent, does not stand in the way', async () => {
    const provider = new Provider(made.client.mcp, 'mcp offline_access');
    assert.equal(await auth(provider, { serverUrl: mcp }), 'REDIRECT');
    assert.equal(provider.asked.searchParams.get('prompt'), 'consent');
    const atPortal = await new Browser().leave(provider.asked);
    assert.equal(atPortal.searchParams.get('prompt'), 'consent');
    const callback = await signIn(server, provider.asked);
    await auth(provider, { serverUrl: mcp, authorizationCode: callback.searchParams.get('code') });
    assert.equal(provider.kept.scope, 'mcp');
  });

  it('from the protected resource to metadata that the SDK accepts', async () => {
    const found = await discoverOAuthProtectedResourceMetadata(mcp);
    const metadata = await discoverAuthorizationServerMetadata(found.authorization_servers[0]);
    assert.equal(metadata.issuer, server.url);
    assert.equal(metadata.authorization_endpoint, `${server.url}/authorize`);
    assert.equal(metadata.token_endpoint, `${server.url}/token/renew`);
    assert.deepEqual(metadata.code_challenge_methods_supported, ['S256']);
  });

  it('both metadata documents satisfy the SDK, and announce only endpoints that exist', async () => {
    const schemas = { 'oauth-authorization-server': OAuthMetadataSchema, 'openid-configuration': OpenIdProviderDiscoveryMetadataSchema };
    for (const [document, schema] of Object.entries(schemas)) {
      const metadata = await (await fetch(`${server.url}/.well-known/${document}`)).json();
      schema.parse(metadata);
      for (const [name, url] of Object.entries(metadata)) {
        if (!/_(endpoint|uri)$/.test(name)) continue;
        const { status } = await fetch(url, { method: name === 'jwks_uri' ? 'GET' : 'POST', redirect: 'manual' });
        assert.ok(status !== 404 && status !== 405 && status < 500, `${name}: ${status}`);
      }
    }
  });

  it("below a stage path the SDK passes over the gateway's 403 and finds the metadata", async () => {
    const stage = await Proxy.start({ stage: '/prod' });
    const staged = await Latchkey.start(made, { LATCHKEY_ISSUER: stage.url });
    stage.target = staged.url;
    try {
      const metadata = await discoverAuthorizationServerMetadata(stage.url);
      assert.equal(metadata.issuer, stage.url);
      // Where the domain's root leads to Latchkey as well, the first address is the right one (RFC 8414 §3.1).
      const asked = [];
      const fetchFn = (url, options) => {
        asked.push(url.pathname);
        return fetch(staged.url + url.pathname, options);
      };
      const found = await discoverAuthorizationServerMetadata(stage.url, { fetchFn });
      for (const name of ['issuer', 'authorization_endpoint', 'token_endpoint']) assert.equal(found[name], metadata[name]);
      assert.deepEqual(asked, ['/.well-known/oauth-authorization-server/prod']);
      const { refresh_token } = await staged.issue('mcp');
      const tokens = await refreshAuthorization(stage.url, { metadata, clientInformation: made.client.mcp, refreshToken: refresh_token });
      assert.notEqual(tokens.refresh_token, refresh_token);
    } finally {
      await staged.stop();
      await stage.stop();
    }
  });

  for (const method of Object.keys(METHODS)) {
    it(`${method}: plain fetch and the SDK's refreshAuthorization renew in turn`, async () => {
      const metadata = await discoverAuthorizationServerMetadata(server.url);
      const clientInformation = { ...made.client[clientOf(method)], token_endpoint_auth_method: method };
      let { refresh_token } = await server.issue(clientOf(method));
      for (let turns = 0; turns < 2; turns += 1) {
        const answer = await refresh(method, refresh_token);
        assert.equal(answer.status, 200, answer.text);
        const fetched = OAuthTokensSchema.parse(answer.json);
        assert.ok(!Object.values(answer.json).includes(null));
        assert.notEqual(fetched.refresh_token, refresh_token);
        const tokens = await refreshAuthorization(server.url, { metadata, clientInformation, refreshToken: fetched.refresh_token });
        assert.notEqual(tokens.refresh_token, fetched.refresh_token);
        assert.equal(tokens.expires_in, 86_400);
        ({ refresh_token } = tokens);
      }
      const over = refreshAuthorization(server.url, { metadata, clientInformation, refreshToken: 'lk1_unknown' });
      await assert.rejects(over, { name: 'InvalidGrantError' });
      assert.match((await refresh(method, 'lk1_unknown')).text, /invalid_grant/);
    });

    it(`${method}: revocation ends the session, and says 200 to a token that it does not know`, async () => {
      const { revocation_endpoint } = await discoverAuthorizationServerMetadata(server.url);
      const [headers, members] = METHODS[method](made.client);
      const revoke = (token, token_type_hint) => post(revocation_endpoint, { token, token_type_hint, ...members }, headers);
      for (const hint of ['refresh_token', 'access_token']) {
        const tokens = await server.issue(clientOf(method));
        const answer = await revoke(tokens[hint], hint);
        assert.equal(answer.status, 200, answer.text);
        const after = await refresh(method, tokens.refresh_token);
        assert.deepEqual([after.status, after.json.error], [400, 'invalid_grant']);
        assert.equal((await revoke(tokens[hint], hint)).status, 200);
      }
      assert.equal((await revoke('unknown', 'refresh_token')).status, 200);
    });
  }

  it('a wrong secret is invalid_client to the SDK', async () => {
    const metadata = await discoverAuthorizationServerMetadata(server.url);
    const { refresh_token } = await server.issue('mcp');
    for (const token_endpoint_auth_method of ['client_secret_basic', 'client_secret_post']) {
      const clientInformation = { client_id: 'mcp', client_secret: 'wrong', token_endpoint_auth_method };
      await assert.rejects(refreshAuthorization(server.url, { metadata, clientInformation, refreshToken: refresh_token }), {
        name: 'InvalidClientError',
      });
    }
  });

  it('with the table down the answers contain none of the fatal words, and the session survives', async () => {
    // The table is another server's; a port that is closed is a table that is down.
    const port = await freePort();
    const table = await Latchkey.start(made, {}, '--dynamodb-listen', `127.0.0.1:${port}`);
    const road = await Proxy.start();
    road.target = `http://127.0.0.1:${port}`;
    const cut = await Latchkey.start(made, {
      AWS_ENDPOINT_URL_DYNAMODB: road.url, AWS_REGION: 'us-east-1', AWS_ACCESS_KEY_ID: 'local', AWS_SECRET_ACCESS_KEY: 'local',
    });
    try {
      const { refresh_token } = await cut.issue('mcp');
      road.target = `http://127.0.0.1:${await freePort()}`;
      const metadata = await discoverAuthorizationServerMetadata(cut.url);
      for (const method of ['client_secret_basic', 'client_secret_post']) {
        const answer = await refresh(method, refresh_token, cut.url);
        assert.equal(answer.status, 503);
        assert.doesNotMatch(answer.text, FATAL);
        assert.ok(Number(answer.headers.get('retry-after')) > 0);
        const clientInformation = { ...made.client.mcp, token_endpoint_auth_method: method };
        await assert.rejects(
          refreshAuthorization(cut.url, { metadata, clientInformation, refreshToken: refresh_token }),
          (error) => {
            assert.equal(error.errorCode, 'temporarily_unavailable');
            assert.doesNotMatch(String(error), FATAL);
            return true;
          },
        );
      }
      road.target = `http://127.0.0.1:${port}`;
      const answer = await refresh('client_secret_post', refresh_token, cut.url);
      assert.equal(answer.status, 200, answer.text);
    } finally {
      await cut.stop();
      await table.stop();
      await road.stop();
    }
  });
});
