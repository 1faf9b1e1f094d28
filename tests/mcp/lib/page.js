// docs/mcp.md and its blocks: a fence with a language and a name.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { freePort, Process } from './process.js';

const { LATCHKEY_SCRATCH: SCRATCH, PATH, HOME } = process.env;
const TEXT = readFileSync(new URL('../../../docs/mcp.md', import.meta.url), 'utf8');

export const blocks = [...TEXT.matchAll(/^```(\w+) (\S+)\n(.*?)^```$/gms)]
  .map(([, language, name, text]) => ({ language, name, text }));
export const text = TEXT;

export function block(name) {
  const found = blocks.filter((one) => one.name === name);
  assert.equal(found.length, 1, `docs/mcp.md has one block ${name}`);
  return found[0].text;
}

/** A program of the page, as a file that finds the packages; its path. */
export function write(name) {
  const file = path.join(mkdtempSync(path.join(SCRATCH, 'page-')), name);
  writeFileSync(file, block(name));
  return file;
}

/** Somebody who runs the page's commands: a folder with what they have made so far, and the secrets that they printed, by id. */
export class Follower {
  secrets = {};
  folder = mkdtempSync(path.join(SCRATCH, 'follower-'));

  /** `real` puts real addresses in the place of the page's. */
  constructor(real) {
    this.real = real;
  }

  run(name) {
    for (const command of this.real(block(name)).replaceAll('\\\n', ' ').trim().split('\n')) {
      const printed = execFileSync('bash', ['-c', command], {
        cwd: this.folder, env: { HOME, PATH: `${path.dirname(process.env.LATCHKEY_BIN)}:${PATH}` }, stdio: ['ignore', 'pipe', 'pipe'],
      });
      const id = / (?:issuer|client) add (\S+)/.exec(command)?.[1];
      if (id) this.secrets[id] = printed.toString().trim();
    }
  }
}

/** The page's MCP server. */
export class McpServer extends Process {
  static port = freePort;

  static async start(name = 'server.mjs', environment = {}, port = undefined) {
    port ??= await freePort();
    const file = write(name);
    const server = new McpServer(process.execPath, [file], { env: { PATH, HOME, PORT: String(port), ...environment } });
    await server.says(/listening/);
    server.url = `http://127.0.0.1:${port}/mcp`;
    return server;
  }
}
