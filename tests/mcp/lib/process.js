// Processes that a test starts and stops: each by its own id.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { createInterface } from 'node:readline';

const { LATCHKEY_SCRATCH: SCRATCH } = process.env;
if (!SCRATCH) throw new Error('start these tests with tests/mcp/run');

export class Process {
  log = '';

  /** `options` as `spawn` has them. */
  constructor(command, args, options) {
    this.child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
    // `run` stops what a broken-off test leaves behind.
    const pidFile = path.join(SCRATCH, `${this.child.pid}.pid`);
    writeFileSync(pidFile, String(this.child.pid));
    this.exited = once(this.child, 'exit').finally(() => rmSync(pidFile, { force: true }));
    this.#waiting = [];
    for (const stream of [this.child.stdout, this.child.stderr]) {
      createInterface({ input: stream }).on('line', (line) => {
        this.log += `${line}\n`;
        this.#waiting = this.#waiting.filter(({ pattern, resolve }) => {
          const found = pattern.exec(line);
          if (found) resolve(found);
          return !found;
        });
      });
    }
  }

  #waiting;

  /** The first match in a line that it prints from now on. */
  says(pattern) {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ pattern, resolve });
      this.exited.then(() => reject(new Error(`it ended:\n${this.log}`)), reject);
    });
  }

  async stop() {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill('SIGTERM');
    await this.exited;
  }
}

export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}
