// What the store's thread adds to an adapter: nothing crosses but what was given, a dead thread is noticed and
// replaced, and who gives up is rid of the call.
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, it } from 'vitest';
import { silentLog } from '../../broker/core/log.ts';
import { objectKey, type ObjectStore, type ObjectTag } from '../../broker/objects/object-store.ts';
import { parseStoreUrl, type StoreLocation } from '../../broker/objects/store-location.ts';
import { openStoreInThread } from '../../broker/objects/store-thread.ts';
import { rejectionOf } from '../support/reason-of.ts';
import { withTemporaryDirectory } from '../support/temporary-directory.ts';

const key = objectKey('a/b');
const within = (ms = 5_000): AbortSignal => AbortSignal.timeout(ms);
const variables = { AWS_ACCESS_KEY_ID: 'key', AWS_SECRET_ACCESS_KEY: 'secret' };

/** The store, and the threads that it has made so far. */
async function withThread(
  location: StoreLocation,
  work: (store: ObjectStore, threads: readonly Worker[]) => Promise<void>,
): Promise<void> {
  const threads: Worker[] = [];
  const onWorker = (worker: Worker): number => threads.push(worker);
  process.on('worker', onWorker);
  const { store, close } = await openStoreInThread({ location, variables }, silentLog);
  try {
    await work(store, threads);
  } finally {
    process.off('worker', onWorker);
    await close();
  }
}

function inDirectory(
  work: (store: ObjectStore, threads: readonly Worker[]) => Promise<void>,
): Promise<void> {
  return withTemporaryDirectory((directory) =>
    withThread({ kind: 'directory', path: join(directory, 'objects') }, work),
  );
}

describe('bytes', () => {
  it('of a put cross alone, whatever else stands in their buffer', () =>
    inDirectory(async (store) => {
      const all = Buffer.alloc(4 * 1024 * 1024, 'x');
      const part = all.subarray(1024, 1024 + 2 * 1024 * 1024);
      await store.putIfAbsent(key, part, within());
      // Still ours: only what begins its buffer is handed over.
      expect(all.length).toBe(4 * 1024 * 1024);
      const got = await store.get(key, within());
      expect(got).toMatchObject({ outcome: 'found' });
      if (got.outcome === 'found') expect(got.bytes.length).toBe(2 * 1024 * 1024);
    }));

  it('of a large put are handed over, not copied', () =>
    inDirectory(async (store) => {
      const bytes = Buffer.alloc(2 * 1024 * 1024, 'x');
      await store.putIfAbsent(key, bytes, within());
      expect(bytes.length).toBe(0);
    }));

  it('of an answer are Buffers that own their memory', () =>
    inDirectory(async (store) => {
      await store.putIfAbsent(key, Buffer.from('0123456789'), within());
      const range = await store.getRange(key, 2, 4, within());
      const whole = await store.get(key, within());
      if (range.outcome !== 'found' || whole.outcome !== 'found') throw new Error('missing');
      expect(range.bytes.toString()).toBe('2345');
      expect(range.bytes.buffer.byteLength).toBe(4);
      expect(whole.bytes.buffer.byteLength).toBe(10);
    }));
});

describe('a thread that dies', () => {
  it('fails its calls with an unknown effect, and the next call gets another thread', async () => {
    await using server = await SilentServer.start();
    await withThread(server.location(), async (store, threads) => {
      const put = rejectionOf(store.putIfAbsent(key, Buffer.from('x'), within()));
      await server.hasRequests(1);
      await threads[0]?.terminate();
      expect(await put).toMatchObject({
        reason: 'STORE_FAILED',
        effect: 'unknown',
        metadata: { code: 'thread_ended' },
      });
      const next = rejectionOf(store.get(key, within()));
      await server.hasRequests(2);
      expect(threads.length).toBe(2);
      await threads[1]?.terminate();
      await next;
    });
  });

  it('is replaced later each time, and meanwhile its callers keep their deadlines', () =>
    inDirectory(async (store, threads) => {
      for (let died = 0; died < 3; died++) {
        await threads.at(-1)?.terminate();
        await store.get(key, within());
      }
      await threads.at(-1)?.terminate();
      const start = performance.now();
      const error = await rejectionOf(store.putIfAbsent(key, Buffer.from('x'), within(100)));
      expect(error).toMatchObject({ reason: 'STORE_FAILED', metadata: { code: 'timeout' } });
      expect(performance.now() - start).toBeLessThan(400);
      // What its caller has given up does not happen later; a delete of the key would wait for it.
      expect(await store.delete(key, within())).toEqual({ outcome: 'missing' });
      expect(threads.length).toBe(5);
    }));

  it('is not made again once the store is closed', async () => {
    await withTemporaryDirectory(async (path) => {
      const location = { kind: 'directory', path } as const;
      const { store, close } = await openStoreInThread({ location, variables }, silentLog);
      await close();
      const error = await rejectionOf(store.get(key, within()));
      expect(error).toMatchObject({ reason: 'STORE_FAILED', effect: 'none' });
    });
  });
});

describe('who gives up', () => {
  it('is answered at once, and the call and its socket are given up in the thread', async () => {
    await using server = await SilentServer.start();
    await withThread(server.location(), async (store) => {
      const calls = Array.from({ length: 20 }, (_, i) => {
        const signal = within(300);
        if (i % 3 === 0) return rejectionOf(store.putIfAbsent(key, Buffer.from('x'), signal));
        if (i % 3 === 1) return rejectionOf(store.getRange(key, 0, 1, signal));
        return rejectionOf(store.compareAndSwap(key, 'tag' as ObjectTag, Buffer.from('x'), signal));
      });
      await server.hasRequests(20);
      for (const error of await Promise.all(calls)) expect(error?.metadata['code']).toBe('timeout');
      await expect.poll(() => server.connectionCount).toBe(0);
    });
  });

  it('a list in the middle leaves none open', () =>
    inDirectory(async (store) => {
      for (let i = 0; i < 5; i++) {
        await store.putIfAbsent(objectKey('k', String(i)), Buffer.from('x'), within());
      }
      const seen: string[] = [];
      for await (const object of store.list('k/', within())) {
        seen.push(object.key);
        if (seen.length === 2) break;
      }
      expect(seen).toEqual(['k/0', 'k/1']);
      await store.delete(objectKey('k', '0'), within());
    }));
});

it('errors cross with reason, effect, code and all that a caller decides by', async () => {
  await using server = await SilentServer.start('<Error><Code>AccessDenied</Code></Error>');
  await withThread(server.location(), async (store) => {
    const error = await rejectionOf(store.putIfAbsent(key, Buffer.from('x'), within()));
    expect(error).toMatchObject({
      reason: 'STORE_FAILED',
      kind: 'unavailable',
      effect: 'none',
      metadata: { code: 'AccessDenied' },
      retryAfterMs: 0,
    });
    expect(error?.message).toContain('give the credentials the right');
  });
});

afterEach(() => {
  // A listener that stayed would see the threads of the next test.
  expect(process.listenerCount('worker')).toBe(0);
});

/** A server that takes requests and never answers, or refuses all of them. */
class SilentServer implements AsyncDisposable {
  private readonly server: Server;
  private requestCount = 0;
  connectionCount = 0;

  private constructor(server: Server) {
    this.server = server;
  }

  static async start(refusal?: string): Promise<SilentServer> {
    const server = createServer();
    const silent = new SilentServer(server);
    server.on('connection', (socket) => {
      silent.connectionCount++;
      socket.on('error', () => socket.destroy());
      socket.once('close', () => silent.connectionCount--);
    });
    server.on('request', (_request, response) => {
      silent.requestCount++;
      if (refusal !== undefined) response.writeHead(403).end(refusal);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return silent;
  }

  location(): StoreLocation {
    const { port } = this.server.address() as AddressInfo;
    return parseStoreUrl(`s3://bucket?endpoint=http://127.0.0.1:${port}`);
  }

  async hasRequests(count: number): Promise<void> {
    await expect.poll(() => this.requestCount, { timeout: 5_000 }).toBe(count);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }
}
