import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import vm from 'node:vm';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { exchangeAuthorization, startAuthorization, UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import yaml from 'js-yaml';
import { configSchema } from 'librechat-data-provider';

import { Browser } from '../lib/browser.js';
import { Latchkey, post, rawBasic } from '../lib/latchkey.js';
import { block, blocks, Follower, McpServer, text, write } from '../lib/page.js';
import { Process } from '../lib/process.js';
import { Provider } from '../lib/provider.js';

const ISSUER = 'https://id.example.org/prod';
const RESOURCE = 'https://tools.example.org/mcp';
const CALLBACK = 'http://127.0.0.1:54321/callback';

const whoami = async (transport) => {
  const client = new Client({ name: 'test', version: '1.0.0' });
  await client.connect(transport);
  const { content } = await client.callTool({ name: 'whoami', arguments: {} });
  return { client, says: content[0].text };
};
const bearer = (url, token) => new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers: { Authorization: `Bearer ${token}` } } });

describe('docs/mcp.md', () => {
  it('ten minutes: the page’s server, client and commands', async () => {
    const [install, node, serve] = block('start').trim().split('\n');
    assert.match(install, /^npm install @modelcontextprotocol\/sdk@1\.30$/);
    assert.equal(node, 'node server.mjs');
    const mcp = await McpServer.start();
    const flags = serve.replace('latchkey serve ', '').replace('http://127.0.0.1:3000/mcp', mcp.url).split(' ');
    const server = await Latchkey.demo(flags);
    let client;
    try {
      const here = (command) => command.replaceAll('http://127.0.0.1:9000', server.url);
      const [challenge, document] = block('ask').trim().split('\n').map((command) => execFileSync('bash', ['-c', here(command)]).toString());
      assert.ok(text.includes('```text\nHTTP/1.1 401 Unauthorized\nwww-authenticate: '));
      const [, header, shown] = /^(www-authenticate: .*)\n…\n(\{.*\})$/m.exec(text);
      assert.ok(challenge.startsWith('HTTP/1.1 401 Unauthorized\r\n') && challenge.includes(here(header)), challenge);
      assert.deepEqual(JSON.parse(document), JSON.parse(here(shown)));

      client = new Process(process.execPath, [write('client.mjs')], { env: { ...process.env, MCP: server.mcp, PORT: String(await McpServer.port()) } });
      const answers = client.says(/^You are (\w+)\.$/);
      const [, asked] = await client.says(/^open (\S+)/);
      await fetch(await new Browser().signIn(asked));
      assert.equal((await answers)[1], 'alice');
      await client.exited;
    } finally {
      await client?.stop();
      await server.stop();
      await mcp.stop();
    }
  });

  it('for real: the commands, the server that verifies, and every kind of client', async () => {
    const port = await McpServer.port();
    const resource = `http://127.0.0.1:${port}/mcp`;
    const follower = new Follower((command) => command.replaceAll(RESOURCE, resource));
    for (const name of ['register', 'register-librechat', 'register-discovered', 'register-obo', 'register-desktop']) follower.run(name);
    const server = await Latchkey.registered(follower, Object.fromEntries([block('latchkey-discovered').trim().split('=')]));
    const real = (block) => block.replaceAll(ISSUER, server.url).replaceAll(RESOURCE, resource);
    const mcp = await McpServer.start('verified.mjs', {
      ISSUER: server.url, RESOURCE: resource, CLIENT_ID: 'tools-server', CLIENT_SECRET: follower.secrets['tools-server'],
    }, port);
    const portal = { authorization: rawBasic('portal', follower.secrets.portal) };
    const signIn = (url, registered = false) => new Browser().signInBy(url, async (ticket) => {
      const inspected = await post(`${server.url}/authorize/inspect`, { ticket }, portal);
      assert.equal(inspected.json.registered, registered, inspected.text);
      const { status, json, text: said } = await post(`${server.url}/authorize/accept`, { ticket, subject: 'alice' }, portal);
      assert.equal(status, 200, said);
      return json.redirect_to;
    });
    try {
      // Another client, discovered: from 401 to the tool, and out again.
      const provider = new Provider(CALLBACK, { client_id: 'desktop' });
      const transport = () => new StreamableHTTPClientTransport(new URL(resource), { authProvider: provider });
      const first = transport();
      await assert.rejects(whoami(first), UnauthorizedError);
      await first.finishAuth((await signIn(provider.asked)).searchParams.get('code'));
      const { client, says } = await whoami(transport());
      assert.equal(says, 'You are alice.');
      await post(`${server.url}/token/revoke`, { token: provider.kept.refresh_token, client_id: 'desktop' });
      await assert.rejects(client.callTool({ name: 'whoami', arguments: {} }), UnauthorizedError);

      // LibreChat, registered beforehand: the addresses of its yaml.
      const { oauth } = yaml.load(real(block('mcp-registered'))).mcpServers.tools;
      const clientInformation = { client_id: oauth.client_id, client_secret: follower.secrets.tools };
      const metadata = {
        issuer: server.url, authorization_endpoint: oauth.authorization_url, token_endpoint: oauth.token_url,
        response_types_supported: ['code'], token_endpoint_auth_methods_supported: ['client_secret_basic'],
      };
      const { authorizationUrl, codeVerifier } = await startAuthorization(server.url, {
        metadata, clientInformation, redirectUrl: oauth.redirect_uri, scope: oauth.scope, resource: new URL(resource),
      });
      const callback = await signIn(authorizationUrl);
      assert.equal(callback.origin + callback.pathname, oauth.redirect_uri);
      const tokens = await exchangeAuthorization(server.url, {
        metadata, clientInformation, codeVerifier, redirectUri: oauth.redirect_uri, authorizationCode: callback.searchParams.get('code'),
        resource: new URL(resource),
      });
      assert.equal((await whoami(bearer(resource, tokens.access_token))).says, 'You are alice.');
      assert.equal((await post(oauth.revocation_endpoint, { token: tokens.refresh_token, ...clientInformation })).status, 200);
      await assert.rejects(whoami(bearer(resource, tokens.access_token)), /invalid_token/);

      // LibreChat, discovered: it registers itself, and the portal is told so.
      assert.deepEqual(yaml.load(block('mcp-discovered')).mcpServers.tools, {
        type: 'streamable-http', url: RESOURCE, startup: false, requiresOAuth: true,
      });
      const discovered = new Provider(oauth.redirect_uri, undefined, { token_endpoint_auth_method: 'client_secret_basic' });
      const found = () => new StreamableHTTPClientTransport(new URL(resource), { authProvider: discovered });
      const beginning = found();
      await assert.rejects(whoami(beginning), UnauthorizedError);
      const landed = await signIn(discovered.asked, true);
      assert.equal(landed.origin + landed.pathname, oauth.redirect_uri);
      await beginning.finishAuth(landed.searchParams.get('code'));
      assert.equal((await whoami(found())).says, 'You are alice.');

      // LibreChat, on behalf of its user.
      const { json: user } = await post(`${server.url}/token`, { client_id: 'librechat', subject: 'bob' }, portal);
      await assert.rejects(whoami(bearer(resource, user.access_token)), /invalid_token/);
      const { json: exchanged } = await post(`${server.url}/token/renew`, {
        scope: yaml.load(block('mcp-obo')).mcpServers.tools.obo.scopes, assertion: user.access_token, requested_token_use: 'on_behalf_of',
        grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', client_id: 'librechat', client_secret: follower.secrets.librechat,
      });
      assert.equal((await whoami(bearer(resource, exchanged.access_token))).says, 'You are bob.');

      // Latchkey is away: nobody is sent to sign in for it.
      await server.stop();
      const { status } = await fetch(resource, { method: 'POST', headers: { authorization: `Bearer ${exchanged.access_token}` } });
      assert.equal(status, 500);
    } finally {
      await server.stop();
      await mcp.stop();
    }
  });

  it('what it says of the authorizer: 401 alone sends a client to sign in, 403 does not', async () => {
    const asks = async (status) => {
      const provider = new Provider(CALLBACK, { client_id: 'mcp' });
      const away = async () => new Response('{"message":"Forbidden"}', { status });
      const transport = new StreamableHTTPClientTransport(new URL('http://127.0.0.1:1/mcp'), { authProvider: provider, fetch: away });
      const error = await whoami(transport).then(() => undefined, (fault) => fault);
      return { error, asked: provider.asked };
    };
    const { error, asked } = await asks(403);
    assert.ok(!(error instanceof UnauthorizedError), String(error));
    assert.equal(asked, undefined);
  });

  it('the snippet for API Gateway: names that exist, and a function whose document is the local server’s', async () => {
    const tag = (name) => new yaml.Type(`!${name}`, { kind: 'scalar', construct: (value) => ({ [name]: value }) });
    const schema = yaml.DEFAULT_SCHEMA.extend(['Ref', 'Sub', 'GetAtt'].map(tag));
    const resources = yaml.load(block('gateway'), { schema });
    const given = new Set(['YourApi', 'Latchkey', ...Object.keys(resources)]);
    const walk = (value) => {
      if (value === null || typeof value !== 'object') return;
      if (value.Ref) assert.ok(given.has(value.Ref), value.Ref);
      if (value.GetAtt) assert.ok(given.has(value.GetAtt.split('.')[0]), value.GetAtt);
      for (const [, name] of (value.Sub ?? '').matchAll(/\$\{([^}]+)\}/g)) assert.ok(name.startsWith('AWS::') || given.has(name), name);
      Object.values(value).forEach(walk);
    };
    walk(resources);
    const { InlineCode, Environment } = resources.DocumentFunction.Properties;
    const context = { exports: {}, process: { env: Environment.Variables } };
    vm.runInNewContext(InlineCode, context);
    const { statusCode, headers, body } = await context.exports.handler({});
    assert.deepEqual([statusCode, headers['content-type']], [200, 'application/json']);
    const server = await Latchkey.demo();
    try {
      const own = await (await fetch(`${server.url}/.well-known/oauth-protected-resource/demo/mcp`)).json();
      assert.deepEqual(JSON.parse(body), { ...own, resource: RESOURCE, authorization_servers: [ISSUER] });
    } finally {
      await server.stop();
    }
    const mapped = Object.keys(resources.Tools.Properties.RequestParameters).map((name) => name.replace('overwrite:header.', ''));
    assert.deepEqual(mapped, ['x-latchkey-sub', 'x-latchkey-client-id', 'x-latchkey-scope', 'x-latchkey-sid']);
  });

  for (const { name, text: written } of blocks.filter(({ name: block, language }) => language === 'yaml' && block.startsWith('mcp-'))) {
    it(`yaml ${name}: LibreChat's configSchema knows every line of it`, () => {
      const meant = yaml.load(written);
      const read = configSchema.safeParse(meant);
      assert.ok(read.success, JSON.stringify(read.error?.issues));
      const kept = (value, own, where) => {
        if (value === null || typeof value !== 'object') return assert.equal(own, value, where);
        for (const [key, inner] of Object.entries(value)) {
          assert.ok(own && key in own, `${where}.${key} is unknown to LibreChat`);
          kept(inner, own[key], `${where}.${key}`);
        }
      };
      kept(meant, read.data, '');
    });
  }

  it('every block has been tried', () => {
    assert.deepEqual(blocks.map(({ name }) => name), [
      'server.mjs', 'start', 'ask', 'client.mjs', 'register', 'verified.mjs', 'register-librechat', 'mcp-registered',
      'register-discovered', 'latchkey-discovered', 'mcp-discovered', 'register-obo',
      'mcp-obo', 'register-desktop', 'gateway',
    ]);
  });
});
