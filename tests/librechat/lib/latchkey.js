// The `latchkey` command and its server, as an operator uses them: keys and registrations are made by the command line
// at run time, settings come from the environment, nothing is inherited from the caller's.
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { once } from 'node:events';

const { LATCHKEY_BIN: BINARY, LATCHKEY_SCRATCH: SCRATCH, PATH, HOME } = process.env;
if (!BINARY || !SCRATCH) throw new Error('start these tests with tests/librechat/run');

export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A folder with `keys.json` and `clients.json`, and the command that edits them. */
export class Registrations {
  constructor() {
    this.folder = mkdtempSync(path.join(SCRATCH, 'server-'));
    this.keys = path.join(this.folder, 'keys.json');
    this.clients = path.join(this.folder, 'clients.json');
  }

  run(args, input) {
    return execFileSync(BINARY, args, { input, env: { PATH, HOME }, cwd: this.folder, stdio: ['pipe', 'pipe', 'pipe'] })
      .toString().trim();
  }

  /** Returns the new key's id. */
  generateKey(alg, ...more) {
    return this.run(['keys', 'generate', '--alg', alg, '--file', this.keys, ...more]);
  }

  importHs256(kid, secret) {
    this.run(['keys', 'import-hs256', '--kid', kid, '--file', this.keys], secret);
  }

  addIssuer(id, ...args) {
    return JSON.parse(this.run(['issuer', 'add', id, '--json', '--file', this.clients, ...args]));
  }

  /** Returns `{client_id, client_secret}`; a public client has no secret. */
  addClient(id, ...args) {
    const answer = this.run(['client', 'add', id, '--issuer', 'portal', '--json', '--file', this.clients, ...args]);
    return answer.startsWith('{') ? JSON.parse(answer) : { client_id: id };
  }
}

/** What most tests register: a key, the issuer `portal` and clients, each with its options. */
export function registrations({ keys = ['RS256'], jwtSecret, portal = '', clients }) {
  const made = new Registrations();
  for (const alg of keys) made.generateKey(alg);
  if (jwtSecret) made.importHs256('librechat-hs', jwtSecret);
  const words = (options) => options.split(' ').filter(Boolean);
  made.portal = made.addIssuer('portal', ...words(portal));
  made.client = Object.fromEntries(
    Object.entries(clients).map(([id, options]) => [id, made.addClient(id, ...words(options))]),
  );
  return made;
}

/** A running server. */
export class Latchkey {
  static start(made, environment = {}, ...flags) {
    return Latchkey.#serve(made, environment, ['--data', ':memory:', '--keys', made.keys, '--clients', made.clients, ...flags]);
  }

  /** With the demo registrations, as the README's first command makes them. */
  static async demo() {
    const folder = mkdtempSync(path.join(SCRATCH, 'demo-'));
    const server = await Latchkey.#serve({ folder }, {}, ['--data', folder]);
    const known = JSON.parse(readFileSync(path.join(folder, 'demo-credentials.json'), 'utf8'));
    server.made.portal = { issuer_id: known.issuer_id, issuer_secret: known.issuer_secret };
    server.made.client = { [known.oauth_client_id]: { client_id: known.oauth_client_id, client_secret: known.oauth_client_secret } };
    return server;
  }

  static async #serve(made, environment, flags) {
    const child = spawn(BINARY, ['serve', '--listen', '127.0.0.1:0', ...flags], {
      env: { PATH, HOME, LATCHKEY_SECRETS_TTL_SECONDS: '1', ...environment }, cwd: made.folder, stdio: ['ignore', 'pipe', 'pipe'],
    });
    const server = new Latchkey();
    // `run` stops what a broken-off test leaves behind.
    server.pidFile = path.join(SCRATCH, `${child.pid}.pid`);
    writeFileSync(server.pidFile, String(child.pid));
    Object.assign(server, { child, made, log: '' });
    server.exited = once(child, 'exit').then(() => rmSync(server.pidFile, { force: true }));
    child.stderr.on('data', (data) => { server.log += data; });
    server.url = await new Promise((resolve, reject) => {
      createInterface({ input: child.stdout }).on('line', (line) => {
        server.log += `${line}\n`;
        const url = /listening on (http:\/\/\S+)/.exec(line)?.[1];
        if (url) resolve(url);
      });
      child.on('exit', () => reject(new Error(`latchkey did not start:\n${server.log}`)));
    });
    return server;
  }

  async stop() {
    if (this.child.exitCode === null) this.child.kill('SIGTERM');
    await this.exited;
  }

  /** As the external system's back end does it. */
  async issue(client_id, members = {}) {
    const answer = await post(`${this.url}/token`, { client_id, subject: 'alice', ...members }, {
      authorization: rawBasic(this.made.portal.issuer_id, this.made.portal.issuer_secret),
    });
    if (answer.status !== 200) throw new Error(`issue: ${answer.status} ${answer.text}`);
    return answer.json;
  }
}

/** `Basic` as axios calls and MCP make it: nothing is percent-encoded. */
export const rawBasic = (id, secret) => `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`;

/** A form post; the answer with its text, and its JSON where it is some. */
export async function post(url, members, headers = {}) {
  const body = new URLSearchParams(members).toString();
  const response = await fetch(url, {
    method: 'POST', body, headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json', ...headers },
    // Latchkey answers within eight seconds, whatever happens behind it.
    signal: AbortSignal.timeout(12_000),
  });
  const text = await response.text();
  let json;
  try { json = JSON.parse(text); } catch { /* a gateway's page */ }
  return { status: response.status, headers: response.headers, text, json };
}

export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}
