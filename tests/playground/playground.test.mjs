// Tests in the order in which a visitor does things: one page, one session, as on the screenshot.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { after, before, describe, it } from 'node:test';
import { fitsANarrowWindow, leastContrast, nameless, start, watched } from './chromium.mjs';

const { LATCHKEY_SCREENSHOTS, PATH } = process.env;

let running;
let server;
let url;
let browser;
let log;
let page;
let requests;
let complaints;

before(async () => {
  running = await start();
  ({ server, url, browser, log } = running);
  ({ page, requests, complaints } = await watched(browser, [`${url}/token/renew`]));
  await page.goto(url);
});

after(() => running?.stop());

const text = (selector) => page.locator(selector).innerText();
const entries = () => page.locator('#timeline > li:not(.empty)');
const heard = (event) => page.locator(`#audit li[data-event="${event}"]`);
const states = () => page.locator('#generations .chip').allInnerTexts();
const ready = (button) => page.locator(`${button}:enabled`).waitFor();

async function seconds() {
  return (await text('#countdown')).split(':').reduce((sum, part) => sum * 60 + Number(part), 0);
}

/** What the newest entry's copy button gives, as a shell runs it. */
async function pasted() {
  await entries().first().locator('.curl .copy').click();
  const command = await page.evaluate(() => navigator.clipboard.readText());
  assert.match(command, /^curl -s -u '?(portal|librechat):[0-9a-f]{64}/);
  return JSON.parse(execFileSync('sh', ['-c', command], { env: { PATH }, stdio: ['ignore', 'pipe', 'inherit'] }));
}

describe('the playground', { concurrency: 1 }, () => {
  it('issues a token by keyboard alone and shows what it says', async () => {
    await page.locator('#issue button:enabled').waitFor();
    assert.equal(await page.locator('#renew').isDisabled(), true, 'there is nothing to renew');
    await page.locator('#life').selectOption('600');
    await page.locator('#subject').focus();
    await page.keyboard.press('Enter');
    await heard('token_issued').waitFor();
    await ready('#renew');
    assert.equal(await text('#state'), 'live');
    assert.deepEqual(await states(), ['current']);
    await page.locator('#decoded summary').click();
    const claims = await text('#token-claims');
    assert.match(claims, /"alice"/);
    assert.match(claims, /exp\s+\d{10} \(\d\d:\d\d:\d\d\)/);
    assert.match(await text('#token-header'), /"RS256"/);
    await page.locator('#decoded summary').click();
  });

  it('counts down to the expiry', async () => {
    const first = await seconds();
    assert.ok(first > 0 && first <= 600, String(first));
    await page.waitForFunction((before) => document.querySelector('#countdown').textContent !== before, await text('#countdown'));
    assert.ok(await seconds() < first);
  });

  it('shows the curl command that does the same', async () => {
    const issued = await pasted();
    assert.equal(issued.token_type, 'Bearer');
    assert.equal(issued.expires_in, 600);
    const shown = await text('#timeline');
    assert.match(shown, /curl -s -u portal:•••/, 'the secret is not on the screen');
    await page.waitForFunction(() => document.querySelectorAll('#audit li[data-event=token_issued]').length === 2);
    assert.equal(await page.locator('#audit li.other').count(), 1, 'the audit line of the other session stands back');
  });

  it('renews: the next generation is current', async () => {
    // On to the next button, as the keyboard goes.
    for (let presses = 0; presses < 20; presses += 1) {
      if (await page.evaluate(() => document.activeElement.id === 'renew')) break;
      await page.keyboard.press('Tab');
    }
    await page.locator('#renew').focus();
    await page.keyboard.press('Enter');
    await heard('token_renewed').waitFor();
    await ready('#renew');
    assert.deepEqual(await states(), ['used, retry possible', 'current']);
    assert.match(await entries().first().innerText(), /Renew: generation 1/);
    assert.match(await entries().first().innerText(), /-d refresh_token=lk1_/);
    assert.equal(await page.locator('#steal').isDisabled(), true, 'there is nothing yet that only a thief can have');
  });

  it('gives the very same successor again when the answer was lost', async () => {
    await page.locator('#lose').click();
    await heard('token_retried').waitFor();
    await ready('#lose');
    assert.deepEqual(await states(), ['used', 'used, retry possible', 'current'], 'one generation, not two');
    assert.match(await entries().nth(1).innerText(), /answer lost/);
    assert.match(await entries().first().innerText(), /very same refresh token/);
    const again = await pasted();
    assert.equal(again.token_type, 'Bearer', 'and again, from a shell');
  });

  it('ends the session when a stolen token is replayed', async () => {
    await page.locator('#steal').click();
    await heard('reuse_detected').waitFor();
    await page.waitForFunction(() => document.querySelectorAll('#timeline li.theft').length === 2);
    assert.equal(await text('#state'), 'ended: theft detected');
    assert.deepEqual(await states(), ['stolen, replayed', 'ended', 'ended']);
    const [thief, victim] = [await entries().nth(1).innerText(), await entries().first().innerText()];
    assert.match(thief, /400/);
    assert.match(victim, /400/);
    assert.match(await heard('reuse_detected').innerText(), /reason=predecessor_after_successor_used/);
    for (const button of ['#renew', '#lose', '#steal']) assert.equal(await page.locator(button).isDisabled(), true);
    // The server has written it before the page had it; it may still be on its way here.
    while (!log.some((line) => line.includes('"reuse_detected"'))) await once(server.stdout, 'data');
  });

  it('shows no secret, in the page or its address', async () => {
    const demo = await page.evaluate(async () => (await fetch('/demo/credentials', { method: 'POST' })).json());
    const shown = await page.evaluate(() => document.documentElement.outerHTML) + requests.join('\n');
    for (const name of ['issuer_secret', 'client_secret', 'oauth_client_secret']) {
      assert.match(demo[name], /^[0-9a-f]{64}$/);
      assert.ok(!shown.includes(demo[name]), name);
    }
    assert.ok(!/lk1_[\w-]{60}/.test(shown), 'no whole refresh token');
  });

  it('is legible in light and dark', async () => {
    const backgrounds = [];
    for (const colorScheme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      backgrounds.push(await page.evaluate(() => getComputedStyle(document.body).backgroundColor));
      const { ratio, ...where } = await leastContrast(page);
      assert.ok(ratio >= 4.5, `${colorScheme}: ${ratio.toFixed(2)} at ${JSON.stringify(where)}`);
      if (LATCHKEY_SCREENSHOTS && colorScheme === 'light') await page.screenshot({ path: `${LATCHKEY_SCREENSHOTS}/playground.png`, fullPage: true });
    }
    assert.notEqual(backgrounds[0], backgrounds[1]);
  });

  it('has a name for every control and fits a narrow window', async () => {
    assert.equal(await nameless(page), 0);
    assert.ok(await fitsANarrowWindow(page), 'no sideways scrolling');
  });

  it('begins again after the theft', async () => {
    await page.locator('#issue button').click();
    await page.waitForFunction(() => document.querySelector('#state').textContent === 'live');
    assert.deepEqual(await states(), ['current']);
  });

  it('asked nobody but its own server, and had nothing to complain of', () => {
    assert.ok(requests.length > 10);
    assert.deepEqual(requests.filter((request) => !request.startsWith(`${url}/`)), []);
    assert.deepEqual(complaints, []);
  });

  it('gives nothing to the page of another origin', async () => {
    const other = createServer((_, response) => response.setHeader('content-type', 'text/html').end('<title>other</title>'));
    await once(other.listen(0, '127.0.0.1'), 'listening');
    try {
      const visitor = await browser.newPage();
      // What the server answers, whether or not the browser shows it to the page.
      const network = await browser.newCDPSession(visitor);
      const addresses = new Map();
      const statuses = [];
      network.on('Network.requestWillBeSent', ({ requestId, request }) => addresses.set(requestId, request.url));
      network.on('Network.responseReceivedExtraInfo', ({ requestId, statusCode }) => statuses.push([requestId, statusCode]));
      const answered = () => statuses.filter(([id]) => addresses.get(id)?.startsWith(`${url}/`)).map(([, status]) => status);
      await network.send('Network.enable');
      await visitor.goto(`http://127.0.0.1:${other.address().port}/`);
      for (const [route, method] of [['/demo/credentials', 'POST'], ['/demo/events', 'GET']]) {
        for (const mode of ['cors', 'no-cors']) {
          const read = await visitor.evaluate(
            ([address, init]) => fetch(address, init).then((response) => response.text(), () => ''), [url + route, { method, mode }]);
          assert.equal(read, '', `${route} ${mode}`);
        }
      }
      while (answered().length < 4) await once(network, 'Network.responseReceivedExtraInfo');
      assert.deepEqual(answered(), [403, 403, 403, 403]);
      await visitor.close();
    } finally {
      other.close();
    }
  });
});
