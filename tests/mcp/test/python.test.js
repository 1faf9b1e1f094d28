import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';

import { Browser } from '../lib/browser.js';
import { Latchkey, MCP_CLIENT, post } from '../lib/latchkey.js';
import { McpServer } from '../lib/page.js';
import { Process } from '../lib/process.js';

const CALLBACK = 'http://127.0.0.1:54321/callback';

/** The client, led by lines. */
class Client extends Process {
  static start(mcp, id = '') {
    const script = new URL('../lib/client.py', import.meta.url).pathname;
    return new Client(process.env.MCP_PYTHON, ['-I', script, mcp, id, CALLBACK], { stdio: ['pipe', 'pipe', 'pipe'] });
  }

  tell(line) {
    this.child.stdin.write(`${line}\n`);
  }

  async call() {
    const [answers, holds] = [/^answer (.+)/, /^holds (\S+) (\S+)/].map((pattern) => this.says(pattern));
    this.tell('call');
    const [[, text], [, access_token, refresh_token]] = await Promise.all([answers, holds]);
    return { text, access_token, refresh_token };
  }
}

describe('the Python SDK’s own client', () => {
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

  it('from 401 to a tool’s answer, through renewal, to the end of the session', async () => {
    const client = Client.start(server.mcp, MCP_CLIENT);
    try {
      const asked = client.says(/^asks (\S+)/);
      asked.then(async ([, url]) => client.tell(await new Browser().signIn(url)), () => {});
      const first = await client.call();
      assert.equal(first.text, 'You are alice.');
      client.tell('expire');
      const second = await client.call();
      assert.notEqual(second.refresh_token, first.refresh_token);
      assert.equal(client.log.match(/^asks /gm).length, 1);

      const { status } = await post(`${server.url}/token/revoke`, { token: second.refresh_token, client_id: MCP_CLIENT });
      assert.equal(status, 200);
      const { status: refused } = await fetch(server.mcp, { method: 'POST', headers: { authorization: `Bearer ${second.access_token}` } });
      assert.equal(refused, 401);
      const asks = client.says(/^asks (\S+)/);
      client.tell('call');
      await asks;
    } finally {
      await client.stop();
    }
  });

  it('a client that nobody knows registers itself', async () => {
    const client = Client.start(server.mcp);
    try {
      const registered = client.says(/^registered (\S+)/);
      const asked = client.says(/^asks (\S+)/);
      asked.then(async ([, url]) => client.tell(await new Browser().signIn(url)), () => {});
      assert.equal((await client.call()).text, 'You are alice.');
      assert.match((await registered)[1], /^lkd1_/);
    } finally {
      await client.stop();
    }
  });
});
