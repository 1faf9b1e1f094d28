// A page of docs/ and its blocks: commands are run as they stand, settings are read as their readers read them.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import vm from 'node:vm';
import { createModels } from '@librechat/data-schemas';
import dotenv from 'dotenv';
import mongoose from 'mongoose';

import { Latchkey, Registrations } from './latchkey.js';
import { Proxy } from './proxy.js';

const run = promisify(execFile);

/** What the pages call `LATCHKEY_ISSUER`. */
export const ISSUER = 'https://id.example.org/prod';
/** What the pages call LibreChat. */
export const CHAT = 'https://chat.example.org';

export class Page {
  constructor(name) {
    this.name = name;
    this.text = readFileSync(new URL(`../../../docs/${name}`, import.meta.url), 'utf8');
    const fences = this.text.matchAll(/^```(\w+) ?(\S*)\n(.*?)^```$/gms);
    this.blocks = [...fences].map(([, language, name, text]) => ({ language, name, text }));
  }

  block(name) {
    const found = this.blocks.filter((one) => one.name === name);
    assert.equal(found.length, 1, `docs/${this.name} has one block ${name}`);
    return found[0].text;
  }

  settings(name) {
    return dotenv.parse(this.block(name));
  }
}

/** Somebody who follows a page: a folder with what the commands have made so far, and the secrets that they printed, by id. */
export class Follower {
  secrets = {};
  made = new Registrations();

  constructor(page, files = {}) {
    this.page = page;
    for (const [file, text] of Object.entries(files)) this.write(file, text);
  }

  read(file) {
    return readFileSync(path.join(this.made.folder, file), 'utf8');
  }

  write(file, text) {
    writeFileSync(path.join(this.made.folder, file), text);
  }

  /** Runs a block's commands one by one; all that they print. `real` puts real addresses in the place of the page's. */
  async run(name, { environment = {}, real = (text) => text } = {}) {
    let all = '';
    for (const command of real(this.page.block(name)).replaceAll('\\\n', ' ').trim().split('\n')) {
      const { stdout } = await run('bash', ['-c', command], {
        cwd: this.made.folder,
        env: { PATH: `${path.dirname(process.env.LATCHKEY_BIN)}:${process.env.PATH}`, ...environment },
      });
      const id = / (?:issuer|client) add (\S+)/.exec(command)?.[1];
      if (id) this.secrets[id] = stdout.trim();
      all += stdout;
    }
    this.made.portal = { issuer_id: 'portal', issuer_secret: this.secrets.portal };
    return all;
  }
}

/** The page's server behind the stage path of its issuer. `body` gets it, and a function that puts its real address into a text. */
export async function withStage(made, environment, body) {
  const stage = await Proxy.start({ stage: '/prod' });
  const real = (text) => text.replaceAll(ISSUER, stage.url);
  try {
    const settings = Object.entries(environment).map(([name, value]) => [name, real(value)]);
    const server = await Latchkey.start(made, Object.fromEntries(settings));
    stage.target = server.url;
    // What the browser and the portal call.
    server.url = stage.url;
    try {
      await body(server, real);
    } finally {
      await server.stop();
    }
  } finally {
    await stage.stop();
  }
}

/** A line for the database's shell: every name in it is one of LibreChat's users. */
export function assertUsersUpdate(line) {
  const calls = [];
  vm.runInNewContext(line, { db: { users: { updateMany: (...both) => calls.push(both) } } });
  assert.equal(calls.length, 1);
  const fields = createModels(mongoose).User.schema.paths;
  const [filter, { $set }] = calls[0];
  for (const name of [...Object.keys(filter), ...Object.keys($set)]) assert.ok(name in fields, name);
}
