import assert from 'node:assert/strict';
import { once } from 'node:events';
import http from 'node:http';
import { after, before, describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';

import { Latchkey, post, rawBasic } from '../lib/latchkey.js';
import { freePort } from '../lib/process.js';

describe('/demo/mcp, the protected resource of the local server', () => {
  let behind;
  let server;
  /** What the server behind was asked last. */
  let asked;
  /** How it answers: plainly, or by events that never end. */
  let answer;

  before(async () => {
    behind = http.createServer((request, response) => {
      const parts = [];
      request.on('data', (part) => parts.push(part)).on('end', () => {
        asked = { method: request.method, url: request.url, headers: request.headers, body: Buffer.concat(parts) };
        answer(response);
      });
    }).listen(0, '127.0.0.1');
    await once(behind, 'listening');
    server = await Latchkey.demo(['--mcp', `http://127.0.0.1:${behind.address().port}/mcp`], { LATCHKEY_SECRETS_TTL_SECONDS: '1' });
    server.addClient('narrow', '--scope', 'openid', '--audience', server.mcp);
    await setTimeout(1100);
    answer = (response) => response.end('passed on');
  });
  after(async () => {
    await server?.stop();
    behind?.closeAllConnections();
    behind?.close();
  });

  const issue = async (client_id, subject = 'alice') => {
    const { issuer_id, issuer_secret } = server.credentials;
    const { status, json, text } = await post(`${server.url}/token`, { client_id, subject }, { authorization: rawBasic(issuer_id, issuer_secret) });
    assert.equal(status, 200, text);
    return json;
  };
  const ask = (authorization, more = {}) => fetch(server.mcp, {
    method: 'POST', ...more, headers: { ...more.headers, ...(authorization && { authorization }) },
  });
  const challenge = (response) => response.headers.get('www-authenticate');
  const hint = () => `scope="tools", resource_metadata="${server.url}/.well-known/oauth-protected-resource/demo/mcp"`;

  it('the document is where RFC 9728 has it, and says what a client needs', async () => {
    const response = await fetch(`${server.url}/.well-known/oauth-protected-resource/demo/mcp`);
    assert.equal(response.headers.get('content-type'), 'application/json');
    assert.deepEqual(await response.json(), {
      resource: server.mcp, authorization_servers: [server.url], scopes_supported: ['tools'], bearer_methods_supported: ['header'],
    });
  });

  it('whoever has no token is told where to find out how to get one', async () => {
    // LibreChat looks with HEAD first.
    for (const method of ['HEAD', 'GET', 'POST', 'DELETE']) {
      const response = await ask(undefined, { method });
      assert.equal(response.status, 401);
      assert.equal(challenge(response), `Bearer ${hint()}`);
    }
  });

  it('a token that is none, or is for something else, is invalid_token', async () => {
    const { access_token, refresh_token, id_token } = await issue('librechat');
    for (const token of ['x', access_token, refresh_token, id_token]) {
      const response = await ask(`Bearer ${token}`);
      assert.equal(response.status, 401);
      assert.equal(challenge(response), `Bearer error="invalid_token", ${hint()}`);
    }
    const [basic, inAddress] = [await ask('Basic eDp5'), await fetch(`${server.mcp}?access_token=${(await issue('mcp')).access_token}`)];
    assert.deepEqual([basic.status, inAddress.status], [401, 401]);
  });

  it('a token for it without the scope is insufficient_scope', async () => {
    const response = await ask(`Bearer ${(await issue('narrow')).access_token}`);
    assert.equal(response.status, 403);
    assert.equal(challenge(response), `Bearer error="insufficient_scope", ${hint()}`);
  });

  it('a request that passes arrives with who asks, and without the token', async () => {
    const { access_token, session_id } = await issue('mcp', 'Zoë');
    const body = 'x'.repeat(200_000);
    const response = await ask(`Bearer ${access_token}`, {
      body, headers: { 'x-latchkey-sub': 'mallory', 'mcp-session-id': 'one', 'content-type': 'application/json' },
    });
    assert.deepEqual([response.status, await response.text()], [200, 'passed on']);
    const { headers } = asked;
    assert.deepEqual([asked.method, asked.url, asked.body.toString()], ['POST', '/mcp', body]);
    assert.equal(Buffer.from(headers['x-latchkey-sub'], 'latin1').toString(), 'Zoë');
    const told = ['x-latchkey-client-id', 'x-latchkey-scope', 'x-latchkey-sid', 'mcp-session-id', 'authorization'].map((name) => headers[name]);
    assert.deepEqual(told, ['mcp', 'tools', session_id, 'one', undefined]);
  });

  it('events pass one by one', async () => {
    const before = answer;
    const ends = [];
    answer = (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: first\n\n');
      ends.push(response);
    };
    try {
      const { access_token } = await issue('mcp');
      const response = await ask(`Bearer ${access_token}`, { method: 'GET', signal: AbortSignal.timeout(5000) });
      const reader = response.body.getReader();
      assert.equal(Buffer.from((await reader.read()).value).toString(), 'data: first\n\n');
      ends[0].end('data: second\n\n');
      assert.equal(Buffer.from((await reader.read()).value).toString(), 'data: second\n\n');
      assert.ok((await reader.read()).done);
    } finally {
      answer = before;
    }
  });

  it('more than a mebibyte is not passed on', async () => {
    const { access_token } = await issue('mcp');
    assert.equal((await ask(`Bearer ${access_token}`, { body: 'x'.repeat(1024 * 1024) })).status, 200);
    asked = undefined;
    assert.equal((await ask(`Bearer ${access_token}`, { body: 'x'.repeat(1024 * 1024 + 1) })).status, 413);
    assert.equal(asked, undefined);
  });

  it('a server behind that is down is 502, and no word of it ends a session', async () => {
    const other = await Latchkey.demo(['--mcp', `http://127.0.0.1:${await freePort()}/mcp`]);
    const without = await Latchkey.demo();
    try {
      for (const [{ url, mcp, credentials }, expected] of [[other, 502], [without, 404]]) {
        const { issuer_id, issuer_secret } = credentials;
        const { json } = await post(`${url}/token`, { client_id: 'mcp', subject: 'alice' }, { authorization: rawBasic(issuer_id, issuer_secret) });
        const { status, text } = await post(mcp, {}, { authorization: `Bearer ${json.access_token}` });
        assert.equal(status, expected, text);
        if (expected === 502) assert.doesNotMatch(text, /invalid_|unauthorized_client|access_denied/);
        else assert.match(text, /--mcp/);
      }
    } finally {
      await other.stop();
      await without.stop();
    }
  });
});
