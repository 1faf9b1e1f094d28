import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, it } from 'node:test';
import dotenv from 'dotenv';
import yaml from 'js-yaml';
import jwt from 'jsonwebtoken';
import jwksRsa from 'jwks-rsa';
import { configSchema } from 'librechat-data-provider';

import { authenticate, jwtLogin, openIdConfig, openIdJwtLogin } from '../lib/librechat.js';
import { Latchkey, post, rawBasic, Registrations } from '../lib/latchkey.js';
import { Proxy } from '../lib/proxy.js';

const DOCUMENT = readFileSync(new URL('../../../docs/librechat.md', import.meta.url), 'utf8');
const BLOCKS = [...DOCUMENT.matchAll(/^```(\w+) ?(\S*)\n(.*?)^```$/gms)].map(([, language, name, text]) => ({ language, name, text }));
const block = (name) => {
  const found = BLOCKS.filter((one) => one.name === name);
  assert.equal(found.length, 1, `docs/librechat.md has one block ${name}`);
  return found[0].text;
};
const ISSUER = 'https://id.example.org/prod';

/** Runs a block's commands, each as it stands; the secrets that they print, by the id that was added. */
function setUp(name, files = {}) {
  const made = new Registrations();
  for (const [file, text] of Object.entries(files)) writeFileSync(path.join(made.folder, file), text);
  const secrets = {};
  for (const command of block(name).replaceAll('\\\n', ' ').trim().split('\n')) {
    const printed = execFileSync('bash', ['-c', command], {
      cwd: made.folder, stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: `${path.dirname(process.env.LATCHKEY_BIN)}:${process.env.PATH}` },
    }).toString().trim();
    const id = / (?:issuer|client) add (\S+)/.exec(command)?.[1];
    if (id) secrets[id] = printed;
  }
  made.portal = { issuer_id: 'portal', issuer_secret: secrets.portal };
  return { made, secrets };
}

/** The document's server, behind the stage path of its issuer. `body` gets a function that puts the real URL into a text. */
async function withStage(made, settings, body) {
  const stage = await Proxy.start({ stage: '/prod' });
  const real = (text) => text.replaceAll(ISSUER, stage.url);
  try {
    const server = await Latchkey.start(made, dotenv.parse(real(settings)));
    stage.target = server.url;
    try {
      await body(server, real);
    } finally {
      await server.stop();
    }
  } finally {
    await stage.stop();
  }
}

/** Everything that was written is still there: the schema leaves out in silence what it does not know. */
function assertKept(written, read, where = '') {
  if (written === null || typeof written !== 'object') {
    assert.equal(read, written, where);
    return;
  }
  for (const [name, value] of Object.entries(written)) {
    assert.ok(read && name in read, `${where}.${name} is unknown to LibreChat`);
    assertKept(value, read[name], `${where}.${name}`);
  }
}

describe('docs/librechat.md: its commands, settings and yaml', () => {
  it('set-up 1: the registered client gets tokens that JWT_SECRET verifies', async () => {
    const secret = randomBytes(32).toString('hex');
    const { made, secrets } = setUp('setup-1', { 'jwt-secret.txt': `${secret}\n` });
    const environment = { ...dotenv.parse(block('librechat-1')), JWT_SECRET: secret };
    const server = await Latchkey.start(made);
    try {
      const claims = block('claims-1').trim();
      const issued = await server.issue('librechat', { claims });
      const renewed = await post(`${server.url}/token/renew`, {
        client_id: 'librechat', client_secret: secrets.librechat, refresh_token: issued.refresh_token, access_token: issued.access_token,
      });
      assert.equal(renewed.status, 200, renewed.text);
      for (const { access_token } of [issued, renewed.json]) {
        const payload = await authenticate(jwtLogin(environment.JWT_SECRET), access_token);
        for (const [name, value] of Object.entries(JSON.parse(claims))) assert.equal(payload[name], value, payload.refused);
      }
    } finally {
      await server.stop();
    }
  });

  it('set-up 2: LibreChat with these settings discovers, renews and lets in, until the portal ends the session', async () => {
    const { made, secrets } = setUp('setup-2');
    await withStage(made, block('latchkey-2'), async (server, real) => {
      const environment = { ...dotenv.parse(real(block('librechat-2'))), OPENID_CLIENT_SECRET: secrets.librechat };
      const library = await import('openid-client-6.9');
      const config = await openIdConfig(library, environment.OPENID_ISSUER, {
        client_id: environment.OPENID_CLIENT_ID, client_secret: environment.OPENID_CLIENT_SECRET,
      });
      const refresh = (tokens) => library.refreshTokenGrant(config, tokens.refresh_token, { scope: environment.OPENID_SCOPE });
      const tokens = await refresh(await server.issue(environment.OPENID_CLIENT_ID));
      const strategy = openIdJwtLogin(config.serverMetadata(), [environment.OPENID_CLIENT_ID]);
      const payload = await authenticate(strategy, tokens.id_token || tokens.access_token);
      assert.equal(payload.sub, 'alice', payload.refused);

      const [, method, route] = /`(DELETE) (\/sessions\?\S+)`/.exec(DOCUMENT);
      const { issuer_id, issuer_secret } = made.portal;
      const ended = await fetch(server.url + route, { method, headers: { authorization: rawBasic(issuer_id, issuer_secret) } });
      assert.equal(ended.status, 200, await ended.text());
      await assert.rejects(refresh(tokens), { error: 'invalid_grant' });
    });
  });

  it('set-up 3: the yaml of the Remote Agents API lets in what the registered client gets', async () => {
    const { made } = setUp('setup-3');
    await withStage(made, block('latchkey-2'), async (server, real) => {
      const { oidc } = yaml.load(real(block('remote-agents'))).endpoints.agents.remoteApi.auth;
      const { access_token } = await server.issue('robot');
      const { header } = jwt.decode(access_token, { complete: true });
      const key = await jwksRsa({ jwksUri: oidc.jwksUri }).getSigningKey(header.kid);
      const payload = jwt.verify(access_token, key.getPublicKey(), { algorithms: ['RS256'], issuer: oidc.issuer, audience: oidc.audience });
      assert.ok(payload.scope.split(' ').includes(oidc.scope));
    });
  });

  for (const { name, text } of BLOCKS.filter(({ language }) => language === 'yaml')) {
    it(`yaml ${name}: LibreChat's configSchema knows every line of it`, () => {
      const written = yaml.load(text);
      const read = configSchema.safeParse(written);
      assert.ok(read.success, JSON.stringify(read.error?.issues));
      assertKept(written, read.data);
    });
  }

  it('every block has been tried', () => {
    assert.deepEqual(
      BLOCKS.map(({ name }) => name),
      ['setup-1', 'librechat-1', 'claims-1', 'setup-2', 'librechat-2', 'latchkey-2', 'setup-3', 'remote-agents', 'mcp-header', 'mcp-oauth'],
    );
  });
});
