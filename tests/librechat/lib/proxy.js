// What stands between LibreChat and Latchkey in real life: a stage path, and a network that loses answers.
import http from 'node:http';
import { once } from 'node:events';

export class Proxy {
  /**
   * `stage`: the path that an API Gateway stage puts in front; anything else is answered as the gateway does, 403.
   * `loses(n)`: whether the n-th answer is thrown away after the server has given it.
   */
  static async start({ stage = '', loses = () => false } = {}) {
    const proxy = new Proxy();
    let answers = 0;
    proxy.lost = 0;
    proxy.server = http.createServer((request, response) => {
      if (!request.url.startsWith(`${stage}/`)) {
        response.writeHead(403, { 'content-type': 'application/json' }).end('{"message":"Forbidden"}');
        return;
      }
      const target = new URL(request.url.slice(stage.length), proxy.target);
      const onward = http.request(target, { method: request.method, headers: request.headers }, (answer) => {
        const chunks = [];
        answer.on('data', (chunk) => chunks.push(chunk));
        answer.on('end', () => {
          answers += 1;
          if (loses(answers)) {
            proxy.lost += 1;
            response.socket.destroy();
          } else {
            response.writeHead(answer.statusCode, answer.headers).end(Buffer.concat(chunks));
          }
        });
      });
      onward.on('error', () => response.writeHead(502, { 'content-type': 'text/plain' }).end('Bad Gateway'));
      request.pipe(onward);
    });
    proxy.server.listen(0, '127.0.0.1');
    await once(proxy.server, 'listening');
    proxy.url = `http://127.0.0.1:${proxy.server.address().port}${stage}`;
    return proxy;
  }

  async stop() {
    this.server.close();
    this.server.closeAllConnections();
    await once(this.server, 'close');
  }
}
