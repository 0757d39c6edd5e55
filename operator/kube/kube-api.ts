// The API server as the operator uses it: objects as they are on the wire, by path. The library brings credentials,
// TLS and HTTP; its generated methods have no time-outs and no way to say a content type once.
//
// Invariants:
// - Every call ends within its time-out, a watch when nothing, not even a bookmark, came for so long.
// - Whatever goes wrong is a KubeError.
import {
  HttpMethod,
  IsomorphicFetchHttpLibrary,
  RequestContext,
  type KubeConfig,
  type ResponseContext,
} from '@kubernetes/client-node';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { KubeError } from './kube-error.ts';

export interface KubeRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** With a leading slash. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  /** Default `application/json`. */
  readonly contentType?: string;
  /** Default 15,000. */
  readonly timeoutMs?: number;
}

export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED' | 'BOOKMARK' | 'ERROR';
  readonly object: unknown;
}

/** Calls since the start, by verb and path without names: what RBAC has to allow, and what a run costs. */
export interface KubeCallCounts {
  count(method: string, path: string): void;
}

export interface KubeApiOptions {
  readonly counts?: KubeCallCounts;
  /** Waits until another call may be made. Watches do not wait. */
  readonly pace?: () => Promise<void>;
}

const callTimeoutMs = 15_000;
/** The server sends a bookmark about once a minute. */
const watchSilenceMs = 150_000;

export class KubeApi {
  private readonly config: KubeConfig;
  private readonly options: KubeApiOptions;
  private readonly http = new IsomorphicFetchHttpLibrary();
  /** Kept while calls succeed: certificates that were renewed are used after the next failure. */
  private connections: ReturnType<RequestContext['getDispatcher']>;

  constructor(config: KubeConfig, options: KubeApiOptions = {}) {
    this.config = config;
    this.options = options;
  }

  /** The answer's JSON. Throws KubeError. */
  async call<T>(request: KubeRequest): Promise<T> {
    const name = `${request.method} ${request.path}`;
    await this.options.pace?.();
    try {
      const signal = AbortSignal.timeout(request.timeoutMs ?? callTimeoutMs);
      const response = await this.send(request, signal);
      const text = await response.body.text();
      if (response.httpStatusCode >= 300) {
        throw KubeError.ofStatus(response.httpStatusCode, name, text);
      }
      return JSON.parse(text) as T;
    } catch (thrown) {
      throw this.failed(thrown, name);
    }
  }

  /** Ends when the server closes it or `signal` aborts. Throws KubeError. */
  async *watch(
    path: string,
    query: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvent> {
    const silence = new AbortController();
    const give = (): void => silence.abort(new Error(`nothing came for ${watchSilenceMs} ms`));
    let timer = setTimeout(give, watchSilenceMs);
    const name = `WATCH ${path}`;
    try {
      const request = { method: 'GET', path, query: { ...query, watch: 'true' } } as const;
      const response = await this.send(request, AbortSignal.any([signal, silence.signal]));
      if (response.httpStatusCode >= 300) {
        throw KubeError.ofStatus(response.httpStatusCode, name, await response.body.text());
      }
      const body = response.body.stream();
      if (body === null) return;
      const source = Readable.fromWeb(body);
      const lines = createInterface(source);
      // Who stops reading is told of no error any more, and one that nobody hears would end the process.
      for (const emitter of [source, lines]) emitter.on('error', () => {});
      for await (const line of lines) {
        clearTimeout(timer);
        timer = setTimeout(give, watchSilenceMs);
        yield JSON.parse(line) as WatchEvent;
      }
    } catch (thrown) {
      if (!signal.aborted) throw this.failed(thrown, name);
    } finally {
      clearTimeout(timer);
      silence.abort();
    }
  }

  private failed(thrown: unknown, name: string): KubeError {
    const error = KubeError.ofThrown(thrown, name);
    if (error.failure === 'unavailable' || error.failure === 'denied') {
      const old = this.connections;
      this.connections = undefined;
      // What is under way on it ends by itself.
      void old?.close().catch(() => undefined);
    }
    return error;
  }

  private async send(request: KubeRequest, signal: AbortSignal): Promise<ResponseContext> {
    const cluster = this.config.getCurrentCluster();
    if (cluster === null) {
      throw new KubeError('unavailable', 'the kubeconfig has no current cluster; set a context');
    }
    const { method, path, query = {}, body, contentType = 'application/json' } = request;
    this.options.counts?.count(query['watch'] === undefined ? method : 'WATCH', path);
    const context = new RequestContext(`${cluster.server}${path}`, HttpMethod[method]);
    for (const [name, value] of Object.entries(query)) context.setQueryParam(name, value);
    context.setHeaderParam('accept', 'application/json');
    if (body !== undefined) {
      context.setHeaderParam('content-type', contentType);
      context.setBody(JSON.stringify(body));
    }
    context.setSignal(signal);
    await this.config.applySecurityAuthentication(context);
    // The library makes connections of their own for each call, with a handshake each, and closes none.
    this.connections ??= context.getDispatcher();
    if (this.connections !== undefined) context.setDispatcher(this.connections);
    return this.http.send(context).toPromise();
  }
}
