// A sign-in as a user does it, by keyboard alone: the client, the portal, back, renewal, sign-out. Tests in that order.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, it } from 'node:test';
import { fitsANarrowWindow, leastContrast, nameless, start, watched } from './chromium.mjs';

const { LATCHKEY_SCREENSHOTS } = process.env;

let running;
let url;
let browser;
let page;
let requests;
let complaints;
/** Of the portal and of the client, side by side in the documents. */
const pictures = [];

before(async () => {
  running = await start();
  ({ url, browser } = running);
  ({ page, requests, complaints } = await watched(browser, [`${url}/token/renew`]));
  await page.goto(`${url}/demo/client`);
});

after(() => running?.stop());

const text = (selector) => page.locator(selector).innerText();
const said = (words) => page.waitForFunction((words) => document.querySelector('#said').textContent.includes(words), words);
const arrived = (path) => page.waitForURL(`${url}${path}`);

/** On to a control, as the keyboard goes. The focus must be seen. */
async function tabTo(selector) {
  await page.locator(selector).waitFor();
  for (let presses = 0; presses < 30; presses += 1) {
    const focus = await page.evaluate((wanted) => {
      const at = document.activeElement;
      return at.matches(wanted) && { outline: getComputedStyle(at).outlineStyle };
    }, selector);
    if (focus) {
      assert.notEqual(focus.outline, 'none', `${selector}: the focus is seen`);
      return;
    }
    await page.keyboard.press('Tab');
  }
  assert.fail(`no way to ${selector} by keyboard`);
}

async function press(selector) {
  await tabTo(selector);
  await page.keyboard.press('Enter');
}

/** The page gives its first control the focus when it has been loaded. */
const focused = (label) => page.waitForFunction((label) => document.activeElement.textContent === label, label);

/** What every page of the demo is held to. */
async function isFit(name) {
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    const { ratio, ...where } = await leastContrast(page);
    assert.ok(ratio >= 4.5, `${name}, ${colorScheme}: ${ratio.toFixed(2)} at ${JSON.stringify(where)}`);
  }
  await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'reduce' });
  assert.equal(await nameless(page), 0, name);
  assert.ok(await fitsANarrowWindow(page), `${name}: no sideways scrolling`);
}

async function picture(width) {
  if (!LATCHKEY_SCREENSHOTS) return;
  await page.setViewportSize({ width, height: 640 });
  pictures.push((await page.screenshot()).toString('base64'));
  await page.setViewportSize({ width: 1360, height: 900 });
}

/** From the client or the playground to the portal's form. */
async function toThePortal() {
  await press('#sign-in');
  await arrived('/demo/portal');
}

describe('a sign-in', { concurrency: 1 }, () => {
  it('begins at the client, which knows nobody', async () => {
    assert.equal(await text('#who'), 'Nobody is signed in');
    assert.equal(await page.locator('#renew').isVisible(), false);
    await isFit('the client before');
  });

  it('leads to the portal, whose address shows no ticket and whose field has the focus', async () => {
    await toThePortal();
    assert.equal(await text('h1'), 'Who are you?');
    await page.waitForFunction(() => document.activeElement.id === 'name');
    await isFit('the portal');
    await page.keyboard.type('alice');
    await picture(500);
  });

  it('lands at the client with tokens of the one who signed in', async () => {
    await page.keyboard.press('Enter');
    await arrived('/demo/client');
    await said('You are signed in.');
    assert.equal(await text('#who'), 'Alice is signed in');
    const claims = await text('#id-claims');
    for (const claim of [/"alice"/, /"alice@example.org"/, /auth_time\s+\d{10} \(\d\d:\d\d:\d\d\)/]) assert.match(claims, claim);
    assert.equal(await page.locator('#said').getAttribute('aria-live'), 'polite');
    await isFit('the client');
    await picture(860);
  });

  it('renews: every token is another, and the one who signed in is the same', async () => {
    const before = await text('#tokens');
    await press('#renew');
    await said('Renewed');
    const now = await text('#tokens');
    const [old, fresh] = [before, now].map((shown) => shown.match(/lk1_\S+/)[0]);
    assert.notEqual(old, fresh);
    await press('#tokens .copy[aria-label="Copy the refresh_token"]');
    await page.waitForFunction(() => document.activeElement.textContent === 'copied');
    const copied = await page.evaluate(() => navigator.clipboard.readText());
    assert.ok(/^lk1_[\w-]{60}/.test(copied) && copied.endsWith(fresh.slice(-8)), 'the whole token, and not on the screen');
    assert.ok(!(await page.content()).includes(copied));
    assert.equal(await text('#who'), 'Alice is signed in');
  });

  it('asks who the bearer is', async () => {
    await press('#userinfo');
    await said('Userinfo says: alice.');
    assert.match(await text('#userinfo-claims'), /email\s+"alice@example.org"/);
  });

  it('ends with a sign-out, here and at the portal', async () => {
    await press('#sign-out');
    await page.waitForURL(`${url}/demo/portal/sign-out?**`);
    assert.equal(await text('h1'), 'Sign out?');
    await isFit('the portal that signs out');
    await press('form button');
    await arrived('/demo/client');
    await said('You are signed out');
    assert.equal(page.url(), `${url}/demo/client`);
    assert.equal(await text('#who'), 'Nobody is signed in');
    assert.deepEqual((await browser.cookies()).map((cookie) => cookie.name).filter((name) => name.includes('portal')), []);
    // The server has written it before the page had it; it may still be on its way here.
    while (!running.log.some((line) => line.includes('"session_revoked"'))) await once(running.server.stdout, 'data');
  });

  it('is not one when the user cancels', async () => {
    await toThePortal();
    await press('button[value=cancel]');
    await arrived('/demo/client');
    await said('access_denied');
    assert.equal(await text('#who'), 'Nobody is signed in');
  });

  it('needs no typing for those who are known, and another name is possible', async () => {
    await toThePortal();
    await press('button[aria-label="Sign in as bob"]');
    await arrived('/demo/client');
    await said('You are signed in.');
    await page.goto(`${url}/demo/client/sign-in`);
    await arrived('/demo/portal');
    await focused('Continue as bob');
    await isFit('the portal that knows somebody');
    await page.keyboard.press('Enter');
    await arrived('/demo/client');
    await said('You are signed in.');
    assert.equal(await text('#who'), 'Bob is signed in');
  });

  it('is the first step of the playground, which goes on with its session', async () => {
    await page.goto(url);
    await page.locator('#issue button:enabled').waitFor();
    await toThePortal();
    await focused('Continue as bob');
    await page.keyboard.press('Enter');
    await arrived('/');
    await page.locator('#renew:enabled').waitFor();
    const states = () => page.locator('#generations .chip').allInnerTexts();
    assert.deepEqual(await states(), ['exchanged', 'current']);
    assert.match(await text('#timeline'), /you are bob/);
    await press('#renew');
    await page.waitForFunction(() => document.querySelectorAll('#generations .chip').length === 3);
    await page.locator('#lose:enabled').waitFor();
    await press('#lose');
    await page.waitForFunction(() => document.querySelectorAll('#generations .chip').length === 4);
    await press('#steal:enabled');
    await page.waitForFunction(() => document.querySelector('#state').textContent === 'ended: theft detected');
    assert.deepEqual(await states(), ['ended', 'stolen, replayed', 'ended', 'ended']);
    await page.locator('#audit li[data-event="reuse_detected"]').waitFor();
  });

  it('asked nobody but its own server, and had nothing to complain of', () => {
    assert.deepEqual(requests.filter((request) => !request.startsWith(`${url}/`)), []);
    assert.deepEqual(complaints, []);
  });

  it('is shown in the documents', { skip: !LATCHKEY_SCREENSHOTS }, async () => {
    const sheet = await browser.newPage();
    await sheet.setViewportSize({ width: 1376, height: 640 });
    const images = pictures.map((data) => `<img src="data:image/png;base64,${data}">`);
    await sheet.setContent(`<body style="margin:0;display:flex;gap:16px;background:#fff">${images.join('')}`);
    await sheet.waitForFunction(() => [...document.images].every((image) => image.complete));
    await sheet.screenshot({ path: `${LATCHKEY_SCREENSHOTS}/sign-in.png` });
  });
});
