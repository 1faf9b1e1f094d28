// A browser, as far as a sign-in at the demo portal needs one: a cookie jar, and the headers by which a server knows who asks.
import http from 'node:http';

export class Browser {
  #cookies = new Map();

  /** Opens an address as a user does; `location` is where it sends the browser. */
  open(url) {
    return this.#send(url, 'GET', { 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' });
  }

  /** A page's own form. */
  submit(url, members) {
    return this.#send(url, 'POST', {
      origin: new URL(url).origin, 'sec-fetch-site': 'same-origin', 'content-type': 'application/x-www-form-urlencoded',
    }, new URLSearchParams(members).toString());
  }

  #send(url, method, headers, body = '') {
    return new Promise((resolve, reject) => {
      const cookie = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join('; ');
      const request = http.request(url, { method, headers: { ...headers, ...(cookie && { cookie }) }, timeout: 12_000 }, (answer) => {
        for (const set of answer.headers['set-cookie'] ?? []) {
          const [, name, value] = /^([^=;]+)=([^;]*)/.exec(set);
          if (/;\s*max-age=0/i.test(set)) this.#cookies.delete(name);
          else this.#cookies.set(name, value);
        }
        let text = '';
        answer.setEncoding('utf8').on('data', (part) => { text += part; }).on('end', () => {
          const location = answer.headers.location && new URL(answer.headers.location, url);
          resolve({ status: answer.statusCode, location, text });
        });
      });
      request.on('error', reject);
      request.end(body);
    });
  }

  /** Follows redirects while they stay at `origin`; the last answer. */
  async #follow(url, origin) {
    let answer = await this.open(url);
    for (let hops = 0; answer.location?.origin === origin; hops += 1) {
      if (hops > 10) throw new Error('it goes round and round');
      answer = await this.open(answer.location);
    }
    return answer;
  }

  /** From the authorization request through the demo portal; the address at the client that the browser is sent to. */
  async signIn(authorizationUrl, name = 'alice') {
    const { origin } = new URL(authorizationUrl);
    const page = await this.#follow(authorizationUrl, origin);
    if (page.location) return page.location;
    const form = /name="form" value="([^"]+)"/.exec(page.text)?.[1];
    if (!form) throw new Error(`no sign-in form: ${page.status} ${page.text}`);
    const sent = await this.submit(`${origin}/demo/portal`, { form, action: 'sign-in', name });
    if (!sent.location) throw new Error(`the portal says: ${sent.status} ${sent.text}`);
    if (sent.location.origin !== origin) return sent.location;
    const { status, location, text } = await this.#follow(sent.location, origin);
    if (!location) throw new Error(`no redirect to the client: ${status} ${text}`);
    return location;
  }

  /** The same through another portal: `accept` is given the ticket, and says where the portal sends the browser. */
  async signInBy(authorizationUrl, accept) {
    const { location, status, text } = await this.open(authorizationUrl);
    const ticket = location?.searchParams.get('ticket');
    if (!ticket) throw new Error(`no ticket: ${status} ${text}`);
    return (await this.open(await accept(ticket))).location;
  }
}
