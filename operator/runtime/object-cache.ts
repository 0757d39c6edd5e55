// All objects of a kind as the API server last told them: list, then watch, for ever.
//
//   list ──▶ watch ──closed──▶ watch from the newest version seen
//     ▲        └── failed, 410, or too long since the last list ──▶ (jittered wait) ──┐
//     └────────────────────────────────────────────────────────────────────────────────┘
//
// Invariants:
// - It may be behind, and an event may be missed: a list every `relistMs` mends that. Nobody decides to delete by it.
// - Whoever listens hears of each key that changed, appeared or went, in no promised order.
import { KubeError } from '../kube/kube-error.ts';
import type { KubeApi, WatchEvent } from '../kube/kube-api.ts';
import type { KubeList, KubeObject, ObjectKey, Resource } from '../kube/resource.ts';
import { backoffMs } from './backoff.ts';
import type { OperatorLog } from './operator-log.ts';
import type { Timing } from './timing.ts';

export interface ObjectCacheOptions<T extends KubeObject> {
  readonly api: KubeApi;
  readonly resource: Resource<T>;
  readonly timing: Timing;
  readonly log: OperatorLog;
  /** `before`: as it was known until now; undefined: it was not. */
  readonly onChange: (key: string, before: T | undefined) => void;
}

const relistMs = 10 * 60_000;
const pageItems = 500;
const retry = { minMs: 500, maxMs: 30_000 } as const;
/** A watch that lived for so long was healthy: what ends it is no reason to wait. */
const healthyMs = 5_000;

export class ObjectCache<T extends KubeObject> {
  private readonly options: ObjectCacheOptions<T>;
  private readonly objects = new Map<string, T>();
  private readonly listed = Promise.withResolvers<void>();
  private failures = 0;

  constructor(options: ObjectCacheOptions<T>) {
    this.options = options;
  }

  /** Resolves after the first list. */
  get ready(): Promise<void> {
    return this.listed.promise;
  }

  get(key: string): T | undefined {
    return this.objects.get(key);
  }

  values(): IterableIterator<T> {
    return this.objects.values();
  }

  /** Runs until the signal aborts; never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { timing, log, resource } = this.options;
    while (!signal.aborted) {
      try {
        const version = await this.list();
        this.listed.resolve();
        await this.watchFrom(version, timing.monotonicMs() + relistMs, signal);
        this.failures = 0;
      } catch (thrown) {
        if (signal.aborted) return;
        const error = KubeError.ofThrown(thrown, 'list and watch');
        // The server forgets old versions as a matter of course.
        if (error.failure === 'gone') continue;
        this.failures++;
        log.warn('watching again', { kind: resource.type.kind, cause: error.message });
        await timing.sleep(backoffMs(retry, this.failures, timing.draw()), signal);
      }
    }
  }

  /** Answers the version of the list. */
  private async list(): Promise<string> {
    const { api, resource, onChange } = this.options;
    const seen = new Map<string, T>();
    let version = '';
    for (let next: string | undefined = ''; next !== undefined;) {
      const query = { limit: String(pageItems), ...(next === '' ? {} : { continue: next }) };
      const page: KubeList<T> = await api.call({
        method: 'GET',
        path: resource.collectionPath(),
        query,
      });
      for (const item of page.items) {
        // Items of a list do not say what they are.
        const object = { ...item, apiVersion: this.apiVersion, kind: resource.type.kind };
        seen.set(keyOf(item.metadata), object);
      }
      version = page.metadata.resourceVersion;
      next = page.metadata.continue === '' ? undefined : page.metadata.continue;
    }
    const changed = [...seen].filter(
      ([key, { metadata }]) =>
        this.objects.get(key)?.metadata.resourceVersion !== metadata.resourceVersion,
    );
    const gone = [...this.objects.keys()].filter((key) => !seen.has(key));
    const before = new Map(this.objects);
    for (const key of gone) this.objects.delete(key);
    for (const [key, object] of changed) this.objects.set(key, object);
    const keys = [...gone, ...changed.map(([changedKey]) => changedKey)];
    for (const key of keys) onChange(key, before.get(key));
    return version;
  }

  /** Ends when it is time for another list. Throws KubeError. */
  private async watchFrom(from: string, untilMs: number, signal: AbortSignal): Promise<void> {
    const { api, resource, timing } = this.options;
    let version = from;
    while (!signal.aborted && timing.monotonicMs() < untilMs) {
      const startMs = timing.monotonicMs();
      const query = {
        resourceVersion: version,
        allowWatchBookmarks: 'true',
        timeoutSeconds: String(Math.ceil(240 + 120 * timing.draw())),
      };
      for await (const event of api.watch(resource.collectionPath(), query, signal)) {
        version = this.take(event);
      }
      if (timing.monotonicMs() - startMs < healthyMs) {
        this.failures++;
        await timing.sleep(backoffMs(retry, this.failures, timing.draw()), signal);
      } else this.failures = 0;
    }
  }

  /** Answers the version that it brings. Throws KubeError. */
  private take({ type, object }: WatchEvent): string {
    if (type === 'ERROR') {
      const { code = 500 } = object as { code?: number };
      throw KubeError.ofStatus(code, 'WATCH', JSON.stringify(object));
    }
    const told = object as T;
    const { resourceVersion } = told.metadata;
    if (type === 'BOOKMARK') return resourceVersion;
    const key = keyOf(told.metadata);
    const before = this.objects.get(key);
    if (type === 'DELETED') this.objects.delete(key);
    else this.objects.set(key, told);
    this.options.onChange(key, before);
    return resourceVersion;
  }

  private get apiVersion(): string {
    const { group, version } = this.options.resource.type;
    return group === '' ? version : `${group}/${version}`;
  }
}

/** `namespace/name`, or `name`. */
export function keyOf({ namespace, name }: ObjectKey): string {
  return namespace === undefined ? name : `${namespace}/${name}`;
}

export function objectKeyOf(key: string): ObjectKey {
  const slash = key.indexOf('/');
  return slash < 0 ? { name: key } : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}
