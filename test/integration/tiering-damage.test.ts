// What the store gives back is wrong, short or missing: told for exactly what it takes away, mended without a restart.
import { readFile, rename } from 'node:fs/promises';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { FaultyStore } from '../support/faulty-store.ts';
import { failureOf, TieredBroker, valuesFrom } from '../support/tiered-broker.ts';

const hooks = { manifestPageRows: 4 };

let tiered: TieredBroker;

beforeEach(async () => {
  tiered = await TieredBroker.start({}, hooks);
});

afterEach(() => tiered[Symbol.asyncDispose]());

describe('records whose object', () => {
  it.each(['wrong bytes', 'truncated'] as const)(
    'comes with %s are DATA_LOSS, what is hot is read, and all is when the store has come to its senses',
    async (fault) => {
      await tiered.publishCold('t', 1_000);
      await tiered.publish('t', 100, 1_000);
      tiered.store.hits = (key) => key.endsWith('.seg');
      tiered.store.fault = fault;
      const failure = await failureOf(tiered.read('t'));
      expect(failure.reason).toBe('DATA_LOSS');
      expect(failure.metadata).toMatchObject({ first_offset: '0' });
      expect((await tiered.partition('t')).damage).toBe(failure.message);
      expect(await tiered.read('t', 1_000)).toEqual(valuesFrom(1_000, 100));
      tiered.store.fault = 'none';
      await expect
        .poll(() => tiered.read('t').catch(() => []), { timeout: 15_000, interval: 500 })
        .toEqual(valuesFrom(0, 1_100));
      expect((await tiered.partition('t')).damage).toBe('');
    },
  );

  it('is gone are DATA_LOSS from its first to its last, its neighbours are read, and it may come back', async () => {
    for (let i = 0; i < 3; i++) await tiered.publishCold('t', 200, i * 200);
    const middle = await pathOf(200);
    await rename(middle, `${middle}.away`);
    const failure = await failureOf(tiered.read('t'));
    expect(failure).toMatchObject({
      reason: 'DATA_LOSS',
      metadata: { first_offset: '200', last_offset: '399' },
    });
    expect(await tiered.read('t', 400)).toEqual(valuesFrom(400, 200));
    await rename(`${middle}.away`, middle);
    expect(await tiered.read('t')).toEqual(valuesFrom(0, 600));
  });
});

describe('manifest pages that are gone', () => {
  it('take the records with them that they list, and garbage stays until they are back', async () => {
    for (let i = 0; i < 6; i++) await tiered.publishCold('t', 100, i * 100);
    await tiered.publishCold('other', 500);
    let pages: readonly string[] = [];
    // What a broker has in memory it does not miss.
    await using again = await tiered.restarted(async () => {
      pages = await tiered.objectPaths('.man');
      for (const page of pages) await rename(page, `${page}.away`);
    }, hooks);
    expect(pages).not.toEqual([]);
    const failure = await failureOf(again.read('t'));
    expect(failure).toMatchObject({ reason: 'DATA_LOSS', metadata: { first_offset: '0' } });
    const next = Number(failure.metadata['last_offset']) + 1;
    expect(next).toBeGreaterThan(0);
    expect(await again.read('t', next)).toEqual(valuesFrom(next, 600 - next));

    const before = await again.segmentPaths();
    await again.client.topics.delete('other');
    const uploads = again.store.calls.get('swap') ?? 0;
    await expect.poll(() => again.store.calls.get('swap') ?? 0).toBeGreaterThan(uploads + 3);
    expect(await again.segmentPaths()).toEqual(before);

    for (const page of pages) await rename(`${page}.away`, page);
    expect(await again.read('t')).toEqual(valuesFrom(0, 600));
    await expect
      .poll(() => again.segmentPaths(), { timeout: 5_000 })
      .toHaveLength(before.length - 1);
  });
});

describe('a broker that starts while the store is away', () => {
  it('is alive, not ready, says why, and goes on by itself', async () => {
    const http = `127.0.0.1:${await freePort()}`;
    let store: FaultyStore | undefined;
    const starting = TieredBroker.start({ httpListen: http }, {}, (faulty) => {
      store = faulty;
      store.fault = 'away';
    });
    const ask = (path: string): Promise<string> =>
      fetch(`http://${http}/${path}`).then(
        async (answer) => `${answer.status} ${await answer.text()}`,
        () => '',
      );
    await expect.poll(() => ask('readyz')).toMatch(/^503 .*waiting for the object store/);
    expect(await ask('livez')).toMatch(/^200/);
    if (store !== undefined) store.fault = 'none';
    await using started = await starting;
    expect(await ask('readyz')).toMatch(/^200/);
    await started.publishCold('t', 10);
    expect(await started.read('t')).toEqual(valuesFrom(0, 10));
  });
});

/** The segment object that begins with this record. */
async function pathOf(first: number): Promise<string> {
  const [value = ''] = valuesFrom(first, 1);
  for (const path of await tiered.segmentPaths()) {
    if ((await readFile(path)).includes(value)) return path;
  }
  throw new Error(`no object holds record ${first}`);
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  return typeof address === 'object' && address !== null ? address.port : 0;
}
