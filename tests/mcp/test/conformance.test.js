import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';

import { Browser } from '../lib/browser.js';
import { Latchkey } from '../lib/latchkey.js';
import { freePort, Process } from '../lib/process.js';

const { runs: RUNS } = JSON.parse(readFileSync(new URL('../conformance.json', import.meta.url), 'utf8'));
const JUDGE = new URL('../node_modules/@modelcontextprotocol/conformance/dist/index.js', import.meta.url).pathname;

describe('@modelcontextprotocol/conformance, authorization', () => {
  let server;
  let secret;
  before(async () => {
    server = await Latchkey.demo([], { LATCHKEY_SECRETS_TTL_SECONDS: '1' });
    secret = server.addClient('judged', '--scope', 'tools', '--audience', server.mcp, '--redirect-uri', 'http://127.0.0.1/callback');
    await setTimeout(1100);
  });
  after(() => server?.stop());

  /** What the judge says of each check. */
  async function judged(options) {
    const folder = mkdtempSync(path.join(process.env.LATCHKEY_SCRATCH, 'judge-'));
    const real = { $resource: server.mcp, $secret: secret };
    const judge = new Process(process.execPath, [
      JUDGE, 'authorization', '--url', server.url, '--port', String(await freePort()), '--output-dir', folder,
      ...options.map((option) => real[option] ?? option),
    ], { cwd: folder });
    judge.says(/^(http\S+)/).then(async ([, url]) => fetch(await new Browser().signIn(url))).catch(() => {});
    await judge.exited;
    const checks = {};
    for (const file of readdirSync(folder, { recursive: true }).filter((name) => path.basename(name) === 'checks.json')) {
      for (const { id, status, errorMessage } of JSON.parse(readFileSync(path.join(folder, file), 'utf8'))) {
        checks[id] = errorMessage ? [status, errorMessage] : [status];
      }
    }
    return { checks, log: judge.log };
  }

  for (const { name, options, passed, explained } of RUNS) {
    it(name, async () => {
      const { checks, log } = await judged(options);
      const expected = Object.fromEntries([
        ...passed.map((id) => [id, ['SUCCESS']]),
        ...Object.entries(explained ?? {}).map(([id, { status, says }]) => [id, [status, says]]),
      ]);
      assert.deepEqual(checks, expected, `conformance.json says otherwise\n${log}`);
    });
  }
});
