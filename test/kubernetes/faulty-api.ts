// API servers that fail in ways that operators have died of.
import type { KubeConfig } from '@kubernetes/client-node';
import { KubeApi, type KubeRequest, type WatchEvent } from '../../operator/kube/kube-api.ts';
import { KubeError } from '../../operator/kube/kube-error.ts';

/** The operator dies at its nth write: before the API server has it, or before it has the answer. */
export class DyingApi extends KubeApi {
  /** Resolves when it is dead. */
  readonly died: Promise<void>;
  writes = 0;
  private readonly inner: KubeApi;
  private readonly nth: number;
  private readonly moment: 'before' | 'after';
  private die: () => void = () => {};
  private isDead = false;

  constructor(inner: KubeApi, config: KubeConfig, nth: number, moment: 'before' | 'after') {
    super(config);
    this.inner = inner;
    this.nth = nth;
    this.moment = moment;
    this.died = new Promise((resolve) => (this.die = resolve));
  }

  override async call<T>(request: KubeRequest): Promise<T> {
    this.checkAlive();
    const isWrite = request.method !== 'GET' && !request.path.includes('/events');
    if (isWrite && ++this.writes === this.nth) {
      this.isDead = true;
      if (this.moment === 'after') await this.inner.call(request);
      this.die();
      this.checkAlive();
    }
    return this.inner.call(request);
  }

  override watch(path: string, query: Readonly<Record<string, string>>, signal: AbortSignal) {
    this.checkAlive();
    return this.inner.watch(path, query, signal);
  }

  private checkAlive(): void {
    if (this.isDead) throw new KubeError('unavailable', 'this operator is dead');
  }
}

/** The first watch of each kind asks for a version that the server forgot, later ones are closed after a second. */
export class ForgetfulApi extends KubeApi {
  gone = 0;
  private readonly inner: KubeApi;
  private readonly seen = new Set<string>();

  constructor(inner: KubeApi, config: KubeConfig) {
    super(config);
    this.inner = inner;
  }

  override call<T>(request: KubeRequest): Promise<T> {
    return this.inner.call(request);
  }

  override async *watch(
    path: string,
    query: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvent> {
    const isFirst = !this.seen.has(path);
    this.seen.add(path);
    const changed = isFirst
      ? { ...query, resourceVersion: '1' }
      : { ...query, timeoutSeconds: '1' };
    for await (const event of this.inner.watch(path, changed, signal)) {
      if (event.type === 'ERROR' && (event.object as { code?: number }).code === 410) this.gone++;
      yield event;
    }
  }
}

/** Lists of topics are as they were once, and nothing is ever told of them again. */
export class StaleApi extends KubeApi {
  private readonly inner: KubeApi;
  private readonly path: string;
  private readonly list: unknown;

  constructor(inner: KubeApi, config: KubeConfig, path: string, list: unknown) {
    super(config);
    this.inner = inner;
    this.path = path;
    this.list = list;
  }

  override async call<T>(request: KubeRequest): Promise<T> {
    const isList = request.method === 'GET' && request.path === this.path;
    return isList ? (this.list as T) : this.inner.call(request);
  }

  override async *watch(
    path: string,
    query: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvent> {
    if (path !== this.path) return yield* this.inner.watch(path, query, signal);
    await new Promise<void>((resolve) => {
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
  }
}

/** While it is cut off, leases are out of reach, and writes of objects arrive only when it is back. */
export class LateApi extends KubeApi {
  /** Writes that arrived late. */
  lateWrites = 0;
  private readonly inner: KubeApi;
  private back: PromiseWithResolvers<void> | undefined;

  constructor(inner: KubeApi, config: KubeConfig) {
    super(config);
    this.inner = inner;
  }

  cutOff(): void {
    this.back = Promise.withResolvers();
  }

  comeBack(): void {
    this.back?.resolve();
    this.back = undefined;
  }

  override async call<T>(request: KubeRequest): Promise<T> {
    if (this.back !== undefined) {
      if (request.path.includes('/leases')) throw new KubeError('unavailable', 'it is cut off');
      if (request.method !== 'GET') {
        await this.back.promise;
        this.lateWrites++;
      }
    }
    return this.inner.call(request);
  }

  override watch(path: string, query: Readonly<Record<string, string>>, signal: AbortSignal) {
    return this.inner.watch(path, query, signal);
  }
}
