// A broker in this process whose records leave the disk at once, on a store that a test can spoil.
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { startBroker, type RunningBroker, type StartHooks } from '../../broker/main.ts';
import { readSettings } from '../../broker/settings.ts';
import {
  connect,
  MillraceError,
  type Client,
  type TopicPartition,
} from '../../client/src/index.ts';
import { FaultyStore } from './faulty-store.ts';

const flags = {
  listen: '127.0.0.1:0',
  httpListen: '127.0.0.1:0',
  logLevel: 'error',
  logFormat: 'text',
  generationBytes: '1M',
  hotBytes: '1',
  retentionIntervalMs: '50',
  garbageIntervalMs: '100',
  garbageGraceMs: '0',
  checkpointUploadIntervalMs: '100',
  coldCacheBytes: '8M',
  shutdownGraceMs: '1000',
};

export const forever = { ageMs: 0, bytes: 0, forever: true, unackedAgeMs: 0 };

export type TieredFlags = Partial<Record<keyof typeof flags, string>>;

export class TieredBroker implements AsyncDisposable {
  readonly directory: string;
  readonly store: FaultyStore;
  readonly broker: RunningBroker;
  readonly client: Client;
  private closing: Promise<void> | undefined;

  private constructor(directory: string, store: FaultyStore, broker: RunningBroker) {
    this.directory = directory;
    this.store = store;
    this.broker = broker;
    this.client = connect({ server: broker.grpcAddress });
  }

  /** `begin`: called with the store before anything of it is used. */
  static async start(
    more: TieredFlags = {},
    hooks: StartHooks = {},
    begin: (store: FaultyStore) => void = () => {},
  ): Promise<TieredBroker> {
    const directory = await mkdtemp(join(tmpdir(), 'millrace-tiered-'));
    return TieredBroker.startIn(directory, more, hooks, begin);
  }

  /** The same directory once more, after `close`; `between` runs while no broker does. */
  async restarted(between: () => Promise<void>, hooks: StartHooks = {}): Promise<TieredBroker> {
    await this.close();
    await between();
    return TieredBroker.startIn(this.directory, {}, hooks, () => {});
  }

  private static async startIn(
    directory: string,
    more: TieredFlags,
    hooks: StartHooks,
    begin: (store: FaultyStore) => void,
  ): Promise<TieredBroker> {
    const settings = readSettings({ ...flags, ...more, dataDir: directory }, {});
    const onFatal = (error: Error): void => {
      throw error;
    };
    let store: FaultyStore | undefined;
    const broker = await startBroker(settings, onFatal, {
      ...hooks,
      wrapStore(inner) {
        store = new FaultyStore(inner);
        begin(store);
        return store;
      },
    });
    if (store === undefined) throw new Error('the store was not wrapped');
    return new TieredBroker(directory, store, broker);
  }

  /** As after SIGTERM, whatever the store does meanwhile. */
  close(): Promise<void> {
    this.closing ??= this.client.close().then(() => this.broker.close());
    return this.closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.store.fault = 'none';
    await this.close();
    await rm(this.directory, { recursive: true, force: true });
  }

  async publish(topic: string, count: number, from = 0): Promise<void> {
    const publisher = this.client.publisher(topic);
    await Promise.all(valuesFrom(from, count).map((value) => publisher.publish({ value })));
    await publisher.close();
  }

  /** Publishes behind what is there, offloads, and waits until the disk has nothing of it any more. */
  async publishCold(topic: string, count: number, from = 0): Promise<void> {
    await this.client.topics.apply(topic, { retention: forever });
    await this.publish(topic, count, from);
    await this.client.topics.offload(topic, { wait: true });
    await this.client.topics.apply('filler');
    const isCold = async (): Promise<boolean> => {
      // A file leaves the disk when a checkpoint in a later one has made replay independent of it.
      await this.publish('filler', 1);
      await this.client.topics.offload('filler', { wait: true });
      const { partitions } = await this.client.topics.get(topic);
      return partitions.every(({ hotStartOffset, endOffset }) => hotStartOffset === endOffset);
    };
    await expect.poll(isCold, { timeout: 5_000 }).toBe(true);
  }

  /** The first partition. */
  async partition(topic: string): Promise<TopicPartition> {
    const [partition] = (await this.client.topics.get(topic)).partitions;
    if (partition === undefined) throw new Error(`topic ${topic} has no partition`);
    return partition;
  }

  async read(topic: string, start: number | 'earliest' = 0): Promise<string[]> {
    const values: string[] = [];
    const from = start === 'earliest' ? start : { offset: start };
    const reader = this.client.reader(topic, { from, stopAtEnd: true });
    for await (const record of reader) values.push(record.text());
    return values;
  }

  /** Of all topics but the filler's, by name. */
  async segmentPaths(): Promise<string[]> {
    const paths = await this.objectPaths('.seg');
    const sizes = await Promise.all(paths.map(async (path) => (await stat(path)).size));
    return paths.filter((_, i) => (sizes[i] ?? 0) > 2_000);
  }

  async objectPaths(suffix: '.seg' | '.man'): Promise<string[]> {
    const root = join(this.directory, 'objects', 'tenants');
    const names = await readdir(root, { recursive: true }).catch(() => []);
    return names
      .filter((name) => name.endsWith(suffix))
      .map((name) => join(root, name))
      .sort();
  }
}

/** The value of a numbered record, 1,000 bytes. */
export function valueOf(i: number): string {
  return `${i} `.padEnd(1000, String(i % 10));
}

export function valuesFrom(first: number, count: number): string[] {
  return Array.from({ length: count }, (_, i) => valueOf(first + i));
}

/** What the promise rejects with. */
export async function failureOf(promise: Promise<unknown>): Promise<MillraceError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof MillraceError) return error;
    throw error;
  }
  throw new Error('it did not fail');
}
