// One server and one browser for a test file, and what every page is held to.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

const { LATCHKEY_BIN, LATCHKEY_SCRATCH, CHROMIUM, PATH, HOME } = process.env;
if (!LATCHKEY_BIN) throw new Error('start this test with tests/playground/run');

const FLAGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1',
];

/** What a loaded machine may take for anything. */
const PATIENCE = 60_000;

/** A server with data in memory, and a browser that reaches nothing but this machine. */
export async function start() {
  const log = [];
  const server = spawn(LATCHKEY_BIN, ['serve', '--listen', '127.0.0.1:0', '--data', ':memory:'], {
    env: { PATH, HOME }, cwd: LATCHKEY_SCRATCH, stdio: ['ignore', 'pipe', 'inherit'],
  });
  const url = await new Promise((resolve, reject) => {
    createInterface({ input: server.stdout }).on('line', (line) => {
      log.push(line);
      const listening = /^listening on (\S+)/.exec(line)?.[1];
      if (listening) resolve(listening);
    });
    server.on('exit', () => reject(new Error(`latchkey did not start:\n${log.join('\n')}`)));
  });
  const browser = await chromium.launchPersistentContext(mkdtempSync(path.join(LATCHKEY_SCRATCH, 'chromium-')), {
    executablePath: CHROMIUM, args: FLAGS, chromiumSandbox: false, timeout: PATIENCE,
    viewport: { width: 1360, height: 900 }, colorScheme: 'light',
  });
  browser.setDefaultTimeout(PATIENCE);
  await browser.grantPermissions(['clipboard-read', 'clipboard-write'], { origin: url });
  const stop = async () => {
    await browser.close();
    if (server.exitCode === null) {
      server.kill('SIGINT');
      await once(server, 'exit');
    }
  };
  return { server, url, browser, log, stop };
}

/** A page, what it asks for and what it complains of. `provoked` are addresses whose refusals are meant. */
export async function watched(browser, provoked = []) {
  const page = await browser.newPage();
  const requests = [];
  const complaints = [];
  page.on('request', (request) => requests.push(request.url()));
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => {
    // The refusals that the steps provoke are the browser's errors, and no fault of the page.
    const isProvoked = provoked.includes(message.location().url) && / 400 /.test(message.text());
    if (['error', 'warning'].includes(message.type()) && !isProvoked) complaints.push(message.text());
  });
  return { page, requests, complaints };
}

/** The least contrast of any text on the page (WCAG 2.2, 1.4.3), and where. */
export const leastContrast = (page) => page.evaluate(() => {
  const channels = (colour) => (colour.match(/[\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((value) => value / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const background = (node) => {
    for (let at = node; at; at = at.parentElement) {
      if (getComputedStyle(at).opacity !== '1') throw new Error(`what shows through ${at.className} is not judged here`);
      const [r, g, b, alpha = 1] = channels(getComputedStyle(at).backgroundColor);
      if (alpha > 0) return [r, g, b];
    }
    return [255, 255, 255];
  };
  let least = { ratio: Infinity };
  for (const node of document.querySelectorAll('body *')) {
    const ownText = [...node.childNodes].some((child) => child.nodeType === Node.TEXT_NODE && child.data.trim());
    if (!ownText || !node.checkVisibility() || node.disabled) continue;
    const [light, dark] = [luminance(channels(getComputedStyle(node).color).slice(0, 3)), luminance(background(node))].sort((a, b) => b - a);
    const ratio = (light + 0.05) / (dark + 0.05);
    if (ratio < least.ratio) least = { ratio, text: node.textContent.slice(0, 40), tag: `${node.tagName}.${node.className}` };
  }
  return least;
});

/** How many controls a screen reader has no name for. */
export const nameless = (page) => page.evaluate(() => [...document.querySelectorAll('a, button, input:not([type=hidden]), select')]
  .filter((control) => !(control.ariaLabel ?? control.labels?.[0]?.textContent ?? control.textContent).trim()).length);

/** Whether the page fits a telephone's window. */
export async function fitsANarrowWindow(page) {
  await page.setViewportSize({ width: 360, height: 800 });
  const fits = await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);
  await page.setViewportSize({ width: 1360, height: 900 });
  return fits;
}
