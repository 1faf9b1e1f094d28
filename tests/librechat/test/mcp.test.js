import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { after, before, describe, it } from 'node:test';
import {
  discoverAuthorizationServerMetadata, discoverOAuthProtectedResourceMetadata, refreshAuthorization, startAuthorization,
} from '@modelcontextprotocol/sdk/client/auth.js';
import {
  OAuthMetadataSchema, OAuthTokensSchema, OpenIdProviderDiscoveryMetadataSchema,
} from '@modelcontextprotocol/sdk/shared/auth.js';

import { freePort, Latchkey, post, rawBasic, registrations } from '../lib/latchkey.js';
import { Proxy } from '../lib/proxy.js';

// What LibreChat looks for in an error's text; it then drops its tokens or its registration.
const FATAL = /invalid_grant|invalid_client|invalid_request|unauthorized_client|invalid_scope|access_denied|unsupported_grant_type/;
const SIGN_IN = 'https://portal.example.org/sign-in';

describe('MCP OAuth: SDK 1.29 and plain fetch', () => {
  let made;
  let server;

  before(async () => {
    made = registrations({
      clients: { mcp: '--requires refresh_token --scope mcp', 'mcp-public': '--public --requires refresh_token --scope mcp' },
    });
    server = await Latchkey.start(made, { LATCHKEY_AUTHORIZATION_ENDPOINT: SIGN_IN });
  });
  after(() => server?.stop());

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

  it('from the protected resource to metadata that the SDK accepts and can start a sign-in with', async () => {
    const resource = http.createServer((request, response) => {
      const found = request.url.startsWith('/.well-known/oauth-protected-resource');
      response.writeHead(found ? 200 : 404, { 'content-type': 'application/json' });
      response.end(found ? JSON.stringify({ resource: `http://${request.headers.host}/mcp`, authorization_servers: [server.url] }) : '{}');
    }).listen(0, '127.0.0.1');
    try {
      await once(resource, 'listening');
      const found = await discoverOAuthProtectedResourceMetadata(`http://127.0.0.1:${resource.address().port}/mcp`);
      const metadata = await discoverAuthorizationServerMetadata(found.authorization_servers[0]);
      assert.equal(metadata.issuer, server.url);
      assert.equal(metadata.token_endpoint, `${server.url}/token/renew`);
      const { authorizationUrl, codeVerifier } = await startAuthorization(server.url, {
        metadata, clientInformation: made.client.mcp, redirectUrl: 'https://chat.example.org/callback',
      });
      assert.ok(authorizationUrl.href.startsWith(`${SIGN_IN}?`));
      assert.equal(authorizationUrl.searchParams.get('code_challenge_method'), 'S256');
      assert.ok(codeVerifier);
    } finally {
      resource.closeAllConnections();
      resource.close();
    }
  });

  it('both metadata documents satisfy the SDK, and announce only endpoints that exist', async () => {
    const schemas = { 'oauth-authorization-server': OAuthMetadataSchema, 'openid-configuration': OpenIdProviderDiscoveryMetadataSchema };
    for (const [document, schema] of Object.entries(schemas)) {
      const metadata = await (await fetch(`${server.url}/.well-known/${document}`)).json();
      schema.parse(metadata);
      for (const [name, url] of Object.entries(metadata)) {
        if (!/_(endpoint|uri)$/.test(name) || name === 'authorization_endpoint') continue;
        const { status } = await fetch(url, { method: name === 'jwks_uri' ? 'GET' : 'POST' });
        assert.ok(status !== 404 && status !== 405 && status < 500, `${name}: ${status}`);
      }
    }
  });

  it("below a stage path the SDK passes over the gateway's 403 and finds the metadata", async () => {
    const stage = await Proxy.start({ stage: '/prod' });
    const staged = await Latchkey.start(made, { LATCHKEY_ISSUER: stage.url, LATCHKEY_AUTHORIZATION_ENDPOINT: SIGN_IN });
    stage.target = staged.url;
    try {
      const metadata = await discoverAuthorizationServerMetadata(stage.url);
      assert.equal(metadata.issuer, stage.url);
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
      LATCHKEY_AUTHORIZATION_ENDPOINT: SIGN_IN,
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
