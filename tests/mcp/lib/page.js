// docs/mcp.md and its blocks: a fence with a language and a name.
import assert from 'node:assert/strict';
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

/** The page's MCP server, on a port of its own. */
export class McpServer extends Process {
  static async start(name = 'server.mjs', environment = {}) {
    const file = path.join(mkdtempSync(path.join(SCRATCH, 'mcp-')), name);
    writeFileSync(file, block(name));
    const port = await freePort();
    const server = new McpServer(process.execPath, [file], { env: { PATH, HOME, PORT: String(port), ...environment } });
    await server.says(/listening/);
    server.url = `http://127.0.0.1:${port}/mcp`;
    return server;
  }
}
