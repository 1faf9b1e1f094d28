import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import * as second from '@modelcontextprotocol/client';
import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

import { Browser } from '../lib/browser.js';
import { Latchkey, MCP_CLIENT, post } from '../lib/latchkey.js';
import { McpServer } from '../lib/page.js';
import { Provider } from '../lib/provider.js';

const CALLBACK = 'http://127.0.0.1:54321/callback';

/** The SDK that LibreChat has, and the next. */
const SDKS = {
  '1.30': { Client, StreamableHTTPClientTransport, UnauthorizedError },
  '2.4': second,
};

describe('the TypeScript SDK’s own client', () => {
  let mcp;
  let server;
  let secret;
  before(async () => {
    mcp = await McpServer.start();
    server = await Latchkey.demo(['--mcp', mcp.url], { LATCHKEY_SECRETS_TTL_SECONDS: '1' });
    secret = server.addClient('with-a-secret', '--scope', 'tools', '--audience', server.mcp, '--redirect-uri', CALLBACK);
    await setTimeout(1100);
  });
  after(async () => {
    await server?.stop();
    await mcp?.stop();
  });

  for (const [version, sdk] of Object.entries(SDKS)) {
    const connect = async (provider) => {
      const client = new sdk.Client({ name: 'test', version: '1.0.0' });
      const transport = new sdk.StreamableHTTPClientTransport(new URL(server.mcp), { authProvider: provider });
      try {
        await client.connect(transport);
        return { client, transport };
      } catch (error) {
        return { transport, error };
      }
    };
    const signedIn = async (provider) => {
      const { transport, error } = await connect(provider);
      assert.ok(error instanceof sdk.UnauthorizedError, String(error));
      const callback = await new Browser().signIn(provider.asked);
      assert.equal(callback.origin + callback.pathname, CALLBACK);
      assert.equal(callback.searchParams.get('state'), 'state of a test');
      await transport.finishAuth(version === '1.30' ? callback.searchParams.get('code') : callback.searchParams);
      const { client, error: fault } = await connect(provider);
      assert.equal(fault, undefined);
      return client;
    };
    const whoami = async (client) => (await client.callTool({ name: 'whoami', arguments: {} })).content[0].text;

    it(`${version}: from 401 to a tool's answer, through renewal, to the end of the session`, async () => {
      const provider = new Provider(CALLBACK, { client_id: MCP_CLIENT });
      const client = await signedIn(provider);
      assert.equal(provider.asked.searchParams.get('resource'), server.mcp);
      assert.equal(provider.asked.searchParams.get('scope'), 'tools');
      assert.equal(await whoami(client), 'You are alice.');

      const first = provider.kept;
      provider.kept = { ...first, access_token: 'no longer good' };
      assert.equal(await whoami(client), 'You are alice.');
      assert.notEqual(provider.kept.access_token, 'no longer good');
      assert.notEqual(provider.kept.refresh_token, first.refresh_token);

      const last = provider.kept;
      const { status } = await post(`${server.url}/token/revoke`, { token: last.refresh_token, client_id: MCP_CLIENT });
      assert.equal(status, 200);
      const { status: refused } = await fetch(server.mcp, { method: 'POST', headers: { authorization: `Bearer ${last.access_token}` } });
      assert.equal(refused, 401);
      provider.asked = undefined;
      await assert.rejects(whoami(client), sdk.UnauthorizedError);
      assert.deepEqual(provider.forgotten, ['tokens']);
      assert.equal(provider.asked.pathname, '/authorize');
      await client.close();
    });

    for (const method of ['client_secret_basic', 'client_secret_post']) {
      it(`${version}: a client with a secret, by ${method}`, async () => {
        const information = { client_id: 'with-a-secret', client_secret: secret, token_endpoint_auth_method: method };
        const provider = new Provider(CALLBACK, information, { token_endpoint_auth_method: method });
        const client = await signedIn(provider);
        assert.equal(await whoami(client), 'You are alice.');
        await client.close();
      });
    }

    for (const method of ['none', 'client_secret_basic', 'client_secret_post']) {
      it(`${version}: a client that nobody knows registers itself, ${method}`, async () => {
        const provider = new Provider(CALLBACK, undefined, { token_endpoint_auth_method: method });
        const client = await signedIn(provider);
        assert.match(provider.information.client_id, /^lkd1_/);
        assert.equal('client_secret' in provider.information, method !== 'none');
        assert.equal(await whoami(client), 'You are alice.');
        provider.kept = { ...provider.kept, access_token: 'no longer good' };
        assert.equal(await whoami(client), 'You are alice.');
        const { client_id, client_secret } = provider.information;
        const { status } = await post(`${server.url}/token/revoke`, { token: provider.kept.refresh_token, client_id, ...(client_secret && { client_secret }) });
        assert.equal(status, 200);
        await assert.rejects(whoami(client), sdk.UnauthorizedError);
        await client.close();
      });
    }

    it(`${version}: a document without a challenge is enough, as API Gateway leaves it`, async () => {
      // It takes WWW-Authenticate from answers, and lets the status be.
      const provider = new Provider(CALLBACK, { client_id: MCP_CLIENT });
      const bare = async (url, options) => {
        const { status, headers, body } = await fetch(url, options);
        const left = new Headers(headers);
        left.delete('www-authenticate');
        return new Response(status === 204 ? null : body, { status, headers: left });
      };
      const transport = new sdk.StreamableHTTPClientTransport(new URL(server.mcp), { authProvider: provider, fetch: bare });
      await assert.rejects(new sdk.Client({ name: 'test', version: '1.0.0' }).connect(transport), sdk.UnauthorizedError);
      assert.deepEqual(['resource', 'scope'].map((name) => provider.asked.searchParams.get(name)), [server.mcp, 'tools']);
    });
  }
});
