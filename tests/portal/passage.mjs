// What stands between the portal and Latchkey: it notes the portal's calls, and may alter an answer or fail.
import http from 'node:http';
import { once } from 'node:events';

export class Passage {
  static async start(target) {
    const passage = new Passage();
    passage.calls = [];
    passage.server = http.createServer(async (request, response) => {
      const route = request.url.split('?')[0];
      passage.calls.push(route);
      if (passage.fails === route) {
        response.writeHead(503, { 'content-type': 'application/json', 'retry-after': '1' }).end('{"error":"temporarily_unavailable"}');
        return;
      }
      const chunks = [];
      for await (const chunk of request) chunks.push(chunk);
      const { host, connection, 'content-length': length, ...headers } = request.headers;
      const body = chunks.length > 0 ? Buffer.concat(chunks) : undefined;
      const answer = await fetch(target + request.url, { method: request.method, headers, body });
      const text = await answer.text();
      const given = passage.alter && answer.ok ? JSON.stringify(passage.alter(route, JSON.parse(text))) : text;
      response.writeHead(answer.status, { 'content-type': 'application/json' }).end(given);
    });
    passage.server.listen(0, '127.0.0.1');
    await once(passage.server, 'listening');
    passage.url = `http://127.0.0.1:${passage.server.address().port}`;
    return passage;
  }

  async stop() {
    this.server.close();
    this.server.closeAllConnections();
    await once(this.server, 'close');
  }
}
