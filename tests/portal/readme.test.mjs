// The README's way to a LibreChat that signs in: its settings fit what the first start registers, behind its https address.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';

import { post, rawBasic } from '../librechat/lib/latchkey.js';
import { Browser } from './browser.mjs';

const { LATCHKEY_BIN, LATCHKEY_SCRATCH, PATH } = process.env;
const README = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
const BLOCKS = [...README.matchAll(/^```sh ?\S*\n(.*?)^```$/gms)].map(([, text]) => text);
const the = (beginning) => {
  const found = BLOCKS.filter((text) => text.startsWith(beginning));
  assert.equal(found.length, 1, `README.md has one block that begins with ${beginning}`);
  return found[0];
};
const settings = Object.fromEntries(
  the('DOMAIN_CLIENT=').trim().split('\n').map((line) => line.split(/=(.*)/s)).map(([name, value]) => [name, value.replaceAll('"', '')]),
);
const issuer = /^LATCHKEY_ISSUER=(\S+) /.exec(the('LATCHKEY_ISSUER='))[1];

describe('README.md: sign in with LibreChat', () => {
  let child;
  let exited;
  let url;
  let known;

  /** What a browser asks for at the https address, where it is served. */
  const served = (address) => address.replace(issuer, url);

  before(async () => {
    const folder = mkdtempSync(path.join(LATCHKEY_SCRATCH, 'readme-'));
    child = spawn(LATCHKEY_BIN, ['serve', '--listen', '127.0.0.1:0'], {
      cwd: folder, env: { PATH, LATCHKEY_ISSUER: issuer }, stdio: ['ignore', 'pipe', 'inherit'],
    });
    const pidFile = path.join(LATCHKEY_SCRATCH, `${child.pid}.pid`);
    writeFileSync(pidFile, String(child.pid));
    exited = once(child, 'exit').then(() => rmSync(pidFile, { force: true }));
    url = await new Promise((resolve, reject) => {
      let text = '';
      child.stdout.on('data', (data) => {
        text += data;
        const found = /listening on (http:\/\/\S+)/.exec(text)?.[1];
        if (found) resolve(found);
      });
      child.on('exit', () => reject(new Error(`latchkey did not start:\n${text}`)));
    });
    known = JSON.parse(readFileSync(path.join(folder, '.latchkey/demo-credentials.json'), 'utf8'));
  });
  after(async () => {
    child.kill('SIGTERM');
    await exited;
  });

  it('the settings name the client, the issuer and the addresses that the first start registers', async () => {
    assert.equal(settings.OPENID_ISSUER, issuer);
    assert.equal(settings.OPENID_CLIENT_ID, known.oauth_client_id);
    const metadata = await (await fetch(`${url}/.well-known/openid-configuration`)).json();
    assert.equal(metadata.issuer, issuer);

    const verifier = randomBytes(32).toString('base64url');
    const redirect_uri = settings.DOMAIN_SERVER + settings.OPENID_CALLBACK_URL;
    const request = new URLSearchParams({
      client_id: settings.OPENID_CLIENT_ID, redirect_uri, response_type: 'code', scope: settings.OPENID_SCOPE, state: 'a-state',
      code_challenge: createHash('sha256').update(verifier).digest('base64url'), code_challenge_method: 'S256',
    });
    const browser = new Browser();
    const portal = new URL((await browser.open(`${served(metadata.authorization_endpoint)}?${request}`, [`${url}/demo/portal?`])).url);
    assert.equal(portal.origin + portal.pathname, `${url}/demo/portal`);

    const accepted = await post(
      `${url}/authorize/accept`,
      { ticket: portal.searchParams.get('ticket'), subject: 'alice', claims: '{"name":"Alice","email":"alice@example.org"}' },
      { authorization: rawBasic(known.issuer_id, known.issuer_secret) },
    );
    assert.ok(accepted.json.redirect_to.startsWith(`${issuer}/authorize/return?`), accepted.text);
    const callback = new URL((await browser.open(served(accepted.json.redirect_to), [redirect_uri])).url);
    const tokens = await post(served(metadata.token_endpoint), {
      grant_type: 'authorization_code', code: callback.searchParams.get('code'), redirect_uri, code_verifier: verifier,
      client_id: settings.OPENID_CLIENT_ID, client_secret: known.oauth_client_secret,
    });
    assert.equal(tokens.status, 200, tokens.text);
    const claims = JSON.parse(Buffer.from(tokens.json.id_token.split('.')[1], 'base64url'));
    assert.equal(claims[settings.OPENID_NAME_CLAIM], 'Alice');

    const afterwards = `${settings.DOMAIN_CLIENT}/login`;
    const signOut = new URLSearchParams({ id_token_hint: tokens.json.id_token, post_logout_redirect_uri: afterwards });
    const end = new URL((await browser.open(`${served(metadata.end_session_endpoint)}?${signOut}`, [`${url}/demo/portal/sign-out?`])).url);
    assert.equal(end.searchParams.get('return_to'), afterwards);
  });
});
