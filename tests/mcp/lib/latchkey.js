// `latchkey serve`, as the README's first command starts it, and its demo.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import path from 'node:path';

import { Process } from './process.js';

const { LATCHKEY_BIN: BINARY, LATCHKEY_SCRATCH: SCRATCH, PATH, HOME } = process.env;

/** The demo's client for MCP, which has no secret. */
export const MCP_CLIENT = 'mcp';

export class Latchkey extends Process {
  /** `flags`: more of them; `environment`: settings. */
  static async demo(flags = [], environment = {}) {
    const folder = mkdtempSync(path.join(SCRATCH, 'demo-'));
    const server = await Latchkey.#serve(['--data', folder, ...flags], environment);
    server.folder = folder;
    server.mcp = `${server.url}/demo/mcp`;
    server.credentials = JSON.parse(readFileSync(path.join(folder, 'demo-credentials.json'), 'utf8'));
    return server;
  }

  /** With the registrations that somebody has made who followed the page. */
  static registered({ folder }, environment) {
    const file = (name) => path.join(folder, name);
    return Latchkey.#serve(['--data', ':memory:', '--keys', file('keys.json'), '--clients', file('clients.json')], environment);
  }

  static async #serve(flags, environment) {
    const server = new Latchkey(BINARY, ['serve', '--listen', '127.0.0.1:0', ...flags], { env: { PATH, HOME, ...environment } });
    [, server.url] = await server.says(/^listening on (http:\/\/\S+)/);
    return server;
  }

  /** Registers a confidential client of the demo portal; its secret. The server reads it after LATCHKEY_SECRETS_TTL_SECONDS. */
  addClient(id, ...options) {
    const file = path.join(this.folder, 'clients.json');
    return execFileSync(BINARY, ['client', 'add', id, '--issuer', 'portal', '--file', file, '--requires', 'refresh_token', ...options], {
      env: { PATH, HOME }, stdio: ['ignore', 'pipe', 'pipe'],
    }).toString().trim();
  }
}

/** A form post; the answer with its text, and its JSON where it is some. */
export async function post(url, members, headers = {}) {
  const response = await fetch(url, {
    method: 'POST', body: new URLSearchParams(members), headers, signal: AbortSignal.timeout(12_000),
  });
  const text = await response.text();
  let json;
  try { json = JSON.parse(text); } catch { /* a page */ }
  return { status: response.status, headers: response.headers, text, json };
}

/** `Basic` as LibreChat makes it: nothing is percent-encoded. */
export const rawBasic = (id, secret) => `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`;
