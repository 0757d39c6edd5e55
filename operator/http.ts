// Health and metrics over HTTP: GET /livez, /readyz, /metrics and nothing else.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Registry } from 'prom-client';

export interface OperatorHttpOptions {
  readonly host: string;
  readonly port: number;
  readonly metrics: Registry;
  /** Empty when ready, else why not. */
  readonly notReady: () => string;
}

export class OperatorHttp {
  private readonly options: OperatorHttpOptions;
  private readonly server: Server;

  constructor(options: OperatorHttpOptions) {
    this.options = options;
    this.server = createServer((request, response) => {
      const [path = ''] = (request.url ?? '').split('?');
      void this.answer(path).then(
        ({ status, type, body }) => {
          response.writeHead(status, { 'content-type': type });
          response.end(body);
        },
        () => response.destroy(),
      );
    });
    // A scrape is small and quick; who is slower is cut off.
    this.server.requestTimeout = 10_000;
    this.server.headersTimeout = 5_000;
    this.server.maxConnections = 64;
  }

  /** The port it listens on. */
  async listen(): Promise<number> {
    const { host, port } = this.options;
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', reject);
      this.server.listen(port, host, resolve);
    });
    return (this.server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise<void>((resolve) => {
      this.server.close(() => resolve());
    });
  }

  private async answer(path: string) {
    const plain = (status: number, body: string) => ({ status, type: 'text/plain', body });
    switch (path) {
      case '/livez':
        return plain(200, 'ok\n');
      case '/readyz': {
        const reason = this.options.notReady();
        return reason === '' ? plain(200, 'ok\n') : plain(503, `${reason}\n`);
      }
      case '/metrics': {
        const { metrics } = this.options;
        return { status: 200, type: metrics.contentType, body: await metrics.metrics() };
      }
      default:
        return plain(404, 'there are /livez, /readyz and /metrics\n');
    }
  }
}
