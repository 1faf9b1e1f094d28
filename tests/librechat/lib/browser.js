// A browser, as far as a sign-in needs one, and the portal that says who has signed in.
import { post, rawBasic } from './latchkey.js';

/** Keeps cookies, by host as browsers do, and shows a redirect instead of following it. */
export class Browser {
  #cookies = new Map();

  /** `hosts`: where an address is in truth, such as `{'https://chat.example.org': 'http://127.0.0.1:3080'}`. */
  constructor(hosts = {}) {
    this.hosts = hosts;
  }

  /** The answer to a `GET`; `location` is where it sends the browser. */
  async open(url) {
    const { origin, hostname, href } = new URL(url);
    const cookies = this.#cookies.get(hostname) ?? new Map();
    this.#cookies.set(hostname, cookies);
    const response = await fetch(href.replace(origin, this.hosts[origin] ?? origin), {
      redirect: 'manual',
      headers: { cookie: [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') },
      signal: AbortSignal.timeout(12_000),
    });
    for (const cookie of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=;]+)=([^;]*)/.exec(cookie);
      if (/;\s*max-age=0/i.test(cookie)) cookies.delete(name);
      else cookies.set(name, value);
    }
    const location = response.headers.get('location');
    return { status: response.status, location: location && new URL(location, href), text: await response.text() };
  }

  /** Opens a page that has to send the browser on; where to. */
  async leave(url) {
    const { status, location, text } = await this.open(url);
    if (!location) throw new Error(`no redirect from ${new URL(url).pathname}: ${status} ${text}`);
    return location;
  }
}

/** A portal's call to Latchkey: `accept`, `reject` or `inspect`. */
export const portal = (server, verb, members) => post(`${server.url}/authorize/${verb}`, members, {
  authorization: rawBasic(server.made.portal.issuer_id, server.made.portal.issuer_secret),
});

/** From `/authorize` to the portal: the ticket that the browser brings there. */
export async function askFor(authorizationUrl, browser) {
  const atPortal = await browser.leave(authorizationUrl);
  const ticket = atPortal.searchParams.get('ticket');
  if (!ticket) throw new Error(`no ticket: ${atPortal}`);
  return ticket;
}

/** A whole sign-in; the address at the client that the browser comes back to. `verb`: what the portal says. */
export async function signIn(server, authorizationUrl, members = { subject: 'alice' }, { browser = new Browser(), verb = 'accept' } = {}) {
  const ticket = await askFor(authorizationUrl, browser);
  const answer = await portal(server, verb, { ticket, ...members });
  if (answer.status !== 200) throw new Error(`${verb}: ${answer.status} ${answer.text}`);
  return browser.leave(answer.json.redirect_to);
}
