/** What a browser does with redirects, cookies and forms, one redirect at a time, so that each can be looked at. */
export class Browser {
  cookies = new Map();

  /** Opens an address and follows where it leads; stops where an address begins with one of `outside`, and does not ask there. */
  async open(url, outside = [], trail = []) {
    trail.push(url);
    if (trail.length > 10) throw new Error(`redirects without end:\n${trail.join('\n')}`);
    if (outside.some((beginning) => url.startsWith(beginning))) return { url, status: undefined, text: '', trail };
    return this.#follow(url, await this.#send(url), outside, trail);
  }

  /** Sends the one form of a page, with what its hidden fields hold, to the page's own address. */
  async submit(page, fields, outside = []) {
    const hidden = [...page.text.matchAll(/type="hidden" name="(\w+)" value="([^"]*)"/g)].map(([, name, value]) => [name, value]);
    const body = new URLSearchParams({ ...Object.fromEntries(hidden), ...fields });
    return this.#follow(page.url, await this.#send(page.url, { method: 'POST', body }), outside, [page.url]);
  }

  /** A form from anywhere, with this browser's cookies: worse than what a browser would send from another site. */
  async post(url, fields) {
    const answer = await this.#send(url, { method: 'POST', body: new URLSearchParams(fields) });
    return { url, status: answer.status, location: answer.headers.get('location') ?? undefined, text: await answer.text() };
  }

  async #send(url, options = {}) {
    const { hostname } = new URL(url);
    const own = [...this.cookies.values()].filter((cookie) => cookie.hostname === hostname);
    const answer = await fetch(url, {
      ...options, redirect: 'manual', headers: { cookie: own.map(({ name, value }) => `${name}=${value}`).join('; ') },
      signal: AbortSignal.timeout(20_000),
    });
    for (const line of answer.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      const expires = /; expires=([^;]+)/i.exec(line)?.[1];
      const isOver = /; max-age=0(;|$)/i.test(line) || (expires && new Date(expires) < new Date());
      if (isOver) this.cookies.delete(`${hostname} ${name}`);
      else this.cookies.set(`${hostname} ${name}`, { hostname, name, value });
    }
    return answer;
  }

  async #follow(url, answer, outside, trail) {
    const text = await answer.text();
    const location = answer.headers.get('location');
    if (!location) return { url, status: answer.status, text, trail };
    if (![302, 303].includes(answer.status)) throw new Error(`${url} redirects with ${answer.status}`);
    return this.open(new URL(location, url).href, outside, trail);
  }
}
