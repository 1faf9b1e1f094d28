import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { after, before, describe, it } from 'node:test';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

import { Latchkey, post, rawBasic } from '../lib/latchkey.js';
import { McpServer } from '../lib/page.js';

const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer';

describe('LibreChat, on behalf of its user', () => {
  let mcp;
  let server;
  before(async () => {
    mcp = await McpServer.start();
    server = await Latchkey.demo(['--mcp', mcp.url]);
  });
  after(async () => {
    await server?.stop();
    await mcp?.stop();
  });

  const issue = async (client_id) => {
    const { issuer_id, issuer_secret } = server.credentials;
    const { json } = await post(`${server.url}/token`, { client_id, subject: 'alice' }, { authorization: rawBasic(issuer_id, issuer_secret) });
    return json;
  };

  /** The library's configuration, as LibreChat makes it at its start. Requests to the token endpoint are kept as they are sent. */
  const configured = async (library) => {
    const { oauth_client_id: client_id, oauth_client_secret: client_secret } = server.credentials;
    const sent = [];
    const record = async (url, options) => {
      if (options.method === 'POST') sent.push({ url: String(url), headers: new Headers(options.headers), body: String(options.body) });
      return fetch(url, options);
    };
    const config = await library.discovery(new URL(server.url), client_id, { client_id, client_secret }, undefined, {
      execute: [library.allowInsecureRequests], [library.customFetch]: record,
    });
    return { config, sent };
  };
  /** What LibreChat's service for it calls, and in which order it names the members. */
  const exchange = (library, config, accessToken, scopes) =>
    library.genericGrantRequest(config, JWT_BEARER, { scope: scopes, assertion: accessToken, requested_token_use: 'on_behalf_of' });
  const whoami = async (accessToken) => {
    const client = new Client({ name: 'test', version: '1.0.0' });
    await client.connect(new StreamableHTTPClientTransport(new URL(server.mcp), {
      requestInit: { headers: { Authorization: `Bearer ${accessToken}` } },
    }));
    const { content } = await client.callTool({ name: 'whoami', arguments: {} });
    await client.close();
    return content[0].text;
  };

  for (const version of ['openid-client-6.5', 'openid-client-6.9']) {
    it(`${version}: its request is answered with a token that the tool takes, until the session ends`, async () => {
      const library = await import(version);
      const { config, sent } = await configured(library);
      const user = await issue('librechat-oauth');
      const answer = await exchange(library, config, user.access_token, 'tools');

      // The bytes, so that another library's habits are noticed.
      const [{ url, headers, body }] = sent;
      assert.equal(url, `${server.url}/token/renew`);
      assert.equal(headers.get('content-type'), 'application/x-www-form-urlencoded;charset=UTF-8');
      assert.equal(headers.get('authorization'), null);
      const { oauth_client_id: id, oauth_client_secret: secret } = server.credentials;
      assert.equal(body, `scope=tools&assertion=${user.access_token}&requested_token_use=on_behalf_of&grant_type=${
        encodeURIComponent(JWT_BEARER)}&client_id=${id}&client_secret=${secret}`);

      assert.deepEqual([answer.token_type, answer.expires_in, answer.scope], ['bearer', 300, 'tools']);
      assert.equal(answer.refresh_token, undefined);
      const claims = JSON.parse(Buffer.from(answer.access_token.split('.')[1], 'base64url'));
      assert.deepEqual([claims.sub, [claims.aud].flat(), claims.client_id, claims.act], ['alice', [server.mcp], id, { sub: id }]);
      assert.equal(await whoami(answer.access_token), 'You are alice.');
      // The user's own token is not for the tool.
      await assert.rejects(whoami(user.access_token), /invalid_token/);

      await post(`${server.url}/token/revoke`, { token: user.refresh_token, client_id: id, client_secret: secret });
      await assert.rejects(whoami(answer.access_token), /invalid_token/);
      await assert.rejects(exchange(library, config, user.access_token, 'tools'), { error: 'invalid_grant' });
    });
  }

  it('the same bytes by hand, from a socket, are answered in the same way', async () => {
    const user = await issue('librechat-oauth');
    const { oauth_client_id: id, oauth_client_secret: secret } = server.credentials;
    const body = `scope=tools&assertion=${user.access_token}&requested_token_use=on_behalf_of&grant_type=${
      encodeURIComponent(JWT_BEARER)}&client_id=${id}&client_secret=${secret}`;
    const request = http.request(`${server.url}/token/renew`, {
      method: 'POST', headers: { accept: 'application/json', 'content-type': 'application/x-www-form-urlencoded;charset=UTF-8', 'user-agent': 'openid-client/v6.5.0' },
    });
    request.end(body);
    const [response] = await once(request, 'response');
    let text = '';
    for await (const part of response) text += part;
    assert.equal(response.statusCode, 200, text);
    const names = Object.keys(JSON.parse(text)).sort();
    assert.deepEqual(names, ['access_token', 'expires_in', 'issued_token_type', 'scope', 'token_type']);
  });

  it('what it may not have is refused with the code that it takes for final', async () => {
    const library = await import('openid-client-6.5');
    const { config } = await configured(library);
    const user = await issue('librechat-oauth');
    await assert.rejects(exchange(library, config, user.access_token, 'files'), { error: 'invalid_target' });
    await assert.rejects(exchange(library, config, user.id_token ?? 'x', 'tools'), { error: 'invalid_grant' });
    await assert.rejects(exchange(library, config, (await issue('mcp')).access_token, 'tools'), { error: 'invalid_grant' });
  });
});
