// Everything that docs/portal.md promises of its examples, tried on the examples themselves: they are taken from the page.
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';

import { freePort, Latchkey, post, rawBasic, Registrations, sleep } from '../librechat/lib/latchkey.js';
import { Browser } from './browser.mjs';
import { Passage } from './passage.mjs';

const PAGE = readFileSync(new URL('../../docs/portal.md', import.meta.url), 'utf8');
const BLOCKS = [...PAGE.matchAll(/^```(\w+) (\S+)\n(.*?)^```$/gms)].map(([, language, name, text]) => ({ language, name, text }));
const named = (name) => {
  const found = BLOCKS.filter((block) => block.name === name).map(({ text }) => text);
  assert.ok(found.length > 0, `docs/portal.md has a block ${name}`);
  return found;
};

const EXAMPLES = [
  { language: 'Node', file: 'portal.mjs', beside: 'yours.mjs', start: 'start-node' },
  { language: 'Python', file: 'portal.py', beside: 'yours.py', start: 'start-python' },
  { language: 'PHP', file: 'portal.php', beside: 'yours.php', start: 'start-php' },
];
const PATH = `${process.env.PORTAL_PYTHON}:${process.env.PATH}`;
const has = (program) => spawnSync(program, ['--version'], { env: { PATH } }).status === 0;
const now = () => Math.floor(Date.now() / 1000);
const claimsOf = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url'));
const ALICE = { name: 'alice', password: 'wonderland' };

/** Latchkey with the page's registrations, and the page's portal in front of it. */
class Installation {
  static async start({ file, beside, start }, environment = {}) {
    const made = new Installation();
    try {
      await made.#start(file, beside, start, environment);
    } catch (error) {
      await made.stop();
      throw error;
    }
    return made;
  }

  async #start(file, beside, start, environment) {
    this.portal = `http://127.0.0.1:${await freePort()}`;
    this.client = `http://127.0.0.1:${await freePort()}`;
    this.callback = `${this.client}/oauth/openid/callback`;
    this.afterwards = `${this.client}/login`;
    this.setUp();
    this.latchkey = await Latchkey.start(this.registrations);
    this.passage = await Passage.start(this.latchkey.url);
    this.environment = Object.fromEntries(this.real(named('environment')[0]).trim().split('\n').map((line) => line.split(/=(.*)/s)));
    Object.assign(this.environment, {
      PATH, LATCHKEY_URL: this.passage.url, ISSUER: `portal:${this.secrets.portal}`, PORT: new URL(this.portal).port,
      PYTHONDONTWRITEBYTECODE: '1', ...environment,
    });
    this.folder = path.join(this.registrations.folder, 'portal');
    mkdirSync(this.folder);
    for (const name of [file, beside]) writeFileSync(path.join(this.folder, name), named(name).join(''));
    await this.startPortal(named(start)[0].trim().split('\n').at(-1));
  }

  /** The page's text with the addresses of this run. */
  real(text) {
    return text.replaceAll('https://portal.example.org', this.portal).replaceAll('https://chat.example.org', this.client);
  }

  /** Runs the page's commands, each as it stands; the secrets that they print, by the id that was added. */
  setUp() {
    this.registrations = new Registrations();
    this.secrets = {};
    for (const command of this.real(named('setup')[0]).replaceAll('\\\n', ' ').trim().split('\n')) {
      const printed = execFileSync('bash', ['-c', command], {
        cwd: this.registrations.folder, stdio: ['ignore', 'pipe', 'pipe'],
        env: { PATH: `${path.dirname(process.env.LATCHKEY_BIN)}:${process.env.PATH}` },
      }).toString().trim();
      const id = / (?:issuer|client) add (\S+)/.exec(command)?.[1];
      if (id) this.secrets[id] = printed;
    }
  }

  async startPortal(command) {
    this.child = spawn('bash', ['-c', `exec ${command.replace('3000', '"$PORT"')}`], {
      cwd: this.folder, env: this.environment, stdio: ['ignore', 'pipe', 'pipe'],
    });
    // `run` stops what a broken-off test leaves behind.
    this.pidFile = path.join(process.env.LATCHKEY_SCRATCH, `${this.child.pid}.pid`);
    writeFileSync(this.pidFile, String(this.child.pid));
    this.exited = once(this.child, 'exit').then(() => rmSync(this.pidFile, { force: true }));
    this.log = '';
    for (const stream of [this.child.stdout, this.child.stderr]) stream.on('data', (data) => { this.log += data; });
    for (let tries = 0; ; tries += 1) {
      try {
        return await fetch(`${this.portal}/nothing`, { redirect: 'manual' });
      } catch {
        assert.ok(this.child.exitCode === null && tries < 200, `the portal did not start:\n${this.log}`);
        await sleep(50);
      }
    }
  }

  async stop() {
    if (this.child?.exitCode === null) this.child.kill('SIGTERM');
    await this.exited;
    await this.passage?.stop();
    await this.latchkey?.stop();
  }

  /** A click on "sign in" at the client, in a browser; where it ends, and what the client keeps for the exchange. */
  async click(browser, more = {}) {
    const kept = { verifier: randomBytes(32).toString('base64url'), state: randomBytes(16).toString('hex'), nonce: randomBytes(16).toString('hex') };
    const address = new URL('/authorize', this.latchkey.url);
    address.search = new URLSearchParams({
      client_id: 'librechat', redirect_uri: this.callback, response_type: 'code', scope: 'openid profile email', state: kept.state,
      nonce: kept.nonce, code_challenge: createHash('sha256').update(kept.verifier).digest('base64url'), code_challenge_method: 'S256', ...more,
    });
    const at = await browser.open(address.href, [this.client]);
    return { at, kept };
  }

  /** What the browser has brought to the client, judged as a client does it. */
  answer({ at, kept }) {
    assert.ok(at.url.startsWith(`${this.callback}?`), `${at.status} ${at.url}\n${at.text}\n${this.log}`);
    const { state, iss, ...answer } = Object.fromEntries(new URL(at.url).searchParams);
    assert.deepEqual({ state, iss }, { state: kept.state, iss: this.latchkey.url });
    return answer;
  }

  async exchange(arrived) {
    const { code } = this.answer(arrived);
    const tokens = await post(`${this.latchkey.url}/token/renew`, {
      grant_type: 'authorization_code', code, redirect_uri: this.callback, code_verifier: arrived.kept.verifier, ...this.credentials(),
    });
    assert.equal(tokens.status, 200, tokens.text);
    return tokens.json;
  }

  async renew({ refresh_token }) {
    return (await post(`${this.latchkey.url}/token/renew`, { refresh_token, ...this.credentials() })).status;
  }

  credentials() {
    return { client_id: 'librechat', client_secret: this.secrets.librechat };
  }

  /** A browser whose user has signed in at the portal on the way to the client, and the tokens that came of it. */
  async signedIn(browser = new Browser()) {
    const { at, kept } = await this.click(browser);
    assertForm(at, this.portal);
    const tokens = await this.exchange({ at: await browser.submit(at, ALICE, [this.client]), kept });
    return { browser, tokens, kept };
  }

  /** The sessions that Latchkey has of alice. */
  async sessions() {
    const headers = { authorization: rawBasic('portal', this.secrets.portal) };
    return (await (await fetch(`${this.latchkey.url}/sessions?subject=alice`, { headers })).json()).sessions;
  }
}

function assertForm(page, portal) {
  assert.equal(page.status, 200, page.text);
  assert.equal(page.url, `${portal}/login`);
  assert.match(page.text, /type="password"/);
}

for (const example of EXAMPLES) {
  const skip = example.language === 'PHP' && !has('php') && 'NOT RUN: php is not installed here';
  describe(`docs/portal.md: the ${example.language} example`, { skip, concurrency: 1 }, () => {
    let all;
    before(async () => { all = await Installation.start(example); });
    after(() => all.stop());

    it('has thirty lines or fewer, and ten for signing out', () => {
      const [signIn, signOut] = named(example.file).map((text) => text.trimEnd().split('\n').length);
      assert.ok(signIn <= 30 && signOut <= 10, `${signIn} and ${signOut}`);
    });

    it('signs a user in, and says when and who', async () => {
      const began = now();
      const { tokens, kept } = await all.signedIn();
      const { sub, email, nonce, auth_time } = claimsOf(tokens.id_token);
      assert.deepEqual({ sub, email, nonce }, { sub: 'alice', email: 'alice@example.org', nonce: kept.nonce });
      assert.ok(auth_time >= began && auth_time <= now(), String(auth_time));
    });

    it('gives the browser another session when its user has signed in', async () => {
      const browser = new Browser();
      const { at } = await all.click(browser);
      const portals = () => [...browser.cookies.values()].filter(({ name }) => name !== 'latchkey-sign-in').map(({ value }) => value);
      const before = portals();
      await browser.submit(at, ALICE, [all.client]);
      assert.ok(before.length === 1 && portals().length === 1 && portals()[0] !== before[0], String(before.length));
    });

    it('takes the ticket out of the address at once', async () => {
      const { at } = await all.click(new Browser());
      const [arrival, ...later] = at.trail.filter((url) => url.startsWith(all.portal));
      assert.match(arrival, /\/sign-in\?.*ticket=lkt1_/);
      assert.ok(later.length > 0 && later.every((url) => !url.includes('lkt1_')), later.join('\n'));
      assert.ok(!at.text.includes('lkt1_'));
    });

    it('signs in again without a word who is signed in, with the time at which that was', async () => {
      const { browser, tokens } = await all.signedIn();
      for (const more of [{}, { prompt: 'none' }, { max_age: '3600' }]) {
        const again = await all.exchange(await all.click(browser, more));
        assert.equal(claimsOf(again.id_token).auth_time, claimsOf(tokens.id_token).auth_time);
      }
    });

    it('asks again where prompt, max_age or a client that registered itself want it', async () => {
      const { browser } = await all.signedIn();
      for (const more of [{ prompt: 'login' }, { max_age: '0' }, { prompt: 'select_account' }]) {
        const began = now();
        const { at, kept } = await all.click(browser, more);
        assertForm(at, all.portal);
        const tokens = await all.exchange({ at: await browser.submit(at, ALICE, [all.client]), kept });
        assert.ok(claimsOf(tokens.id_token).auth_time >= began);
      }
      all.passage.alter = (route, body) => (route === '/authorize/inspect' ? { ...body, registered: true } : body);
      try {
        const { at } = await all.click(browser);
        assertForm(at, all.portal);
        assert.ok(at.text.includes(`go on to ${all.client}`), at.text);
      } finally {
        all.passage.alter = undefined;
      }
    });

    it('believes inspect and not the address', async () => {
      const { browser } = await all.signedIn();
      const { at } = await all.click(browser, { prompt: 'login' });
      const bare = new URL(at.trail.find((url) => url.includes('lkt1_')));
      for (const name of [...bare.searchParams.keys()].filter((name) => name !== 'ticket')) bare.searchParams.delete(name);
      assertForm(await browser.open(bare.href, [all.client]), all.portal);
    });

    it('says login_required to prompt=none where nobody is signed in', async () => {
      assert.equal(all.answer(await all.click(new Browser(), { prompt: 'none' })).error, 'login_required');
    });

    it('sends who cancels back to the client with access_denied, and accepts nothing', async () => {
      const browser = new Browser();
      const { at, kept } = await all.click(browser);
      all.passage.calls.length = 0;
      const back = await browser.submit(at, { cancel: 'yes' }, [all.client]);
      assert.equal(all.answer({ at: back, kept }).error, 'access_denied');
      assert.ok(!all.passage.calls.includes('/authorize/accept'));
    });

    it('accepts nothing for a wrong password', async () => {
      const browser = new Browser();
      const { at, kept } = await all.click(browser);
      all.passage.calls.length = 0;
      const again = await browser.submit(at, { name: 'alice', password: 'looking-glass' }, [all.client]);
      assertForm(again, all.portal);
      assert.ok(!all.passage.calls.includes('/authorize/accept'));
      await all.exchange({ at: await browser.submit(again, ALICE, [all.client]), kept });
    });

    it('refuses a forged request, accepts nothing, and the sign-in goes on', async () => {
      const browser = new Browser();
      const { at, kept } = await all.click(browser);
      all.passage.calls.length = 0;
      for (const forged of [{ ...ALICE }, { ...ALICE, csrf: '' }, { ...ALICE, csrf: randomBytes(16).toString('hex') }, { cancel: 'yes' }]) {
        const refused = await browser.post(at.url, forged);
        assert.equal(refused.status, 403, refused.text);
        assert.equal(refused.location, undefined);
      }
      assert.ok(!all.passage.calls.some((route) => /accept|reject/.test(route)), all.passage.calls.join());
      await all.exchange({ at: await browser.submit(at, ALICE, [all.client]), kept });
    });

    it('gives no code to a browser that did not begin the sign-in', async () => {
      const { at } = await all.click(new Browser());
      const victim = new Browser();
      const form = await victim.open(at.trail.find((url) => url.includes('lkt1_')), [all.client]);
      assertForm(form, all.portal);
      const end = await victim.submit(form, ALICE, [all.client]);
      assert.equal(end.status, 400, end.url);
      assert.ok(end.url.startsWith(`${all.latchkey.url}/authorize/return?`) && !end.text.includes('lkc1_'), end.url);
    });

    it('asks to start again where there is no ticket, or none that is good', async () => {
      for (const address of ['/login', '/sign-in?ticket=lkt1_AAAA']) {
        const page = await new Browser().open(all.portal + address, [all.client]);
        assert.equal(page.status, 502, page.text);
        assert.match(page.text, /start again in the application/);
      }
    });

    it('lets the user go on where accept failed', async () => {
      const browser = new Browser();
      const { at, kept } = await all.click(browser);
      all.passage.fails = '/authorize/accept';
      const failed = await browser.submit(at, ALICE, [all.client]);
      all.passage.fails = undefined;
      assert.equal(failed.status, 502, failed.text);
      await all.exchange({ at: await browser.open(`${all.portal}/login`, [all.client]), kept });
    });

    it('has a cookie that no script reads and no other site sends, and over https alone where it has https', async () => {
      const cookie = async (portal) => (await fetch(`${portal}/sign-in?ticket=lkt1_AAAA`, {
        redirect: 'manual', headers: { 'x-forwarded-proto': 'https' },
      })).headers.get('set-cookie');
      assert.match(await cookie(all.portal), /^(?=.*; HttpOnly)(?=.*; SameSite=Lax)(?!.*; Secure)/i);
      const secure = await Installation.start(example, { PORTAL_URL: 'https://portal.example.org' });
      try {
        assert.match(await cookie(secure.portal), /^(?=.*; HttpOnly)(?=.*; SameSite=Lax)(?=.*; Secure)/i);
      } finally {
        await secure.stop();
      }
    });

    it('signs out when the client does, after asking, and goes back to the client', async () => {
      const { browser, tokens } = await all.signedIn();
      const address = new URL('/sign-out', all.latchkey.url);
      address.search = new URLSearchParams({ id_token_hint: tokens.id_token, post_logout_redirect_uri: all.afterwards, state: 'a b' });
      const asked = await browser.open(address.href, [all.client]);
      assert.equal(asked.status, 200, asked.text);
      assert.equal(await all.renew(tokens), 400);
      await browser.post(asked.url, {});
      assert.ok(all.answer(await all.click(browser, { prompt: 'none' })).code, 'a forged request signs nobody out of the portal');
      const end = await browser.submit(asked, {}, [all.client]);
      assert.deepEqual([end.url.split('?')[0], new URL(end.url).searchParams.get('state')], [all.afterwards, 'a b']);
      assert.equal(all.answer(await all.click(browser, { prompt: 'none' })).error, 'login_required');
    });

    it('ends the sessions of who signs out at the portal', async () => {
      const { browser, tokens } = await all.signedIn();
      const asked = await browser.open(`${all.portal}/sign-out`, [all.client]);
      assert.ok((await all.sessions()).length > 0);
      const end = await browser.submit(asked, {}, [all.client]);
      assert.equal(end.url, `${all.portal}/`);
      assert.deepEqual(await all.sessions(), []);
      assert.equal(await all.renew(tokens), 400);
    });

    it('sends a browser on that has no session only when its user says so', async () => {
      const browser = new Browser();
      const to = `${all.afterwards}?state=x`;
      const asked = await browser.open(`${all.portal}/sign-out?return_to=${encodeURIComponent(to)}`, [all.client]);
      assert.equal(asked.status, 200, asked.url);
      assert.equal((await browser.submit(asked, {}, [all.client])).url, to);
    });

    it('goes nowhere that is not on its list', async () => {
      const evil = 'https://evil.example';
      const { host } = new URL(all.client);
      for (const to of [evil, `${all.afterwards}.evil.example`, `//${host}/login`, `${all.client}@evil.example/login`, `${all.afterwards}/`]) {
        const browser = new Browser();
        const asked = await browser.open(`${all.portal}/sign-out?return_to=${encodeURIComponent(to)}`, [all.client, evil]);
        assert.ok(!asked.text.includes('evil'), asked.text);
        assert.equal((await browser.submit(asked, {}, [all.client, evil])).url, `${all.portal}/`, to);
      }
    });
  });
}

it('every block of docs/portal.md has been tried', () => {
  const known = new Set(['setup', 'environment', ...EXAMPLES.flatMap(({ file, beside, start }) => [file, beside, start])]);
  assert.deepEqual([...new Set(BLOCKS.map(({ name }) => name))].sort(), [...known].sort());
});
