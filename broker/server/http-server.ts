// Health and metrics over HTTP: GET /livez, /readyz, /metrics and nothing else.
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { BrokerError } from '../core/errors.ts';
import type { PrometheusMetrics } from './prometheus-metrics.ts';

export interface HttpOptions {
  readonly host: string;
  readonly port: number;
  readonly metrics: PrometheusMetrics;
  /** Empty when ready, else why not. */
  notReady(): string;
}

export class HttpServer {
  private readonly options: HttpOptions;
  private readonly server: Server;

  constructor(options: HttpOptions) {
    this.options = options;
    // Times are looked at each second; by default only twice a minute.
    this.server = createServer({ connectionsCheckingInterval: 1_000 }, (request, response) => {
      void this.answer(request.method ?? '', request.url ?? '').then(
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
    this.server.maxConnections = 256;
  }

  /** The port it listens on. Throws LISTEN_FAILED. */
  async listen(): Promise<number> {
    const { host, port } = this.options;
    await new Promise<void>((resolve, reject) => {
      this.server.once('error', (cause) =>
        reject(
          new BrokerError(
            'LISTEN_FAILED',
            `cannot listen on ${host}:${port} for HTTP: ${cause.message}; choose another --http-listen`,
            { cause },
          ),
        ),
      );
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

  private async answer(method: string, url: string) {
    const plain = (status: number, body: string) => ({ status, type: 'text/plain', body });
    if (method !== 'GET' && method !== 'HEAD') return plain(405, 'only GET is answered here\n');
    const [path = ''] = url.split('?');
    switch (path) {
      case '/livez':
      case '/healthz':
        return plain(200, 'ok\n');
      case '/readyz': {
        const reason = this.options.notReady();
        return reason === '' ? plain(200, 'ok\n') : plain(503, `${reason}\n`);
      }
      case '/metrics': {
        const { metrics } = this.options;
        return { status: 200, type: metrics.contentType, body: await metrics.text() };
      }
      default:
        return plain(404, 'there are /livez, /readyz and /metrics\n');
    }
  }
}
