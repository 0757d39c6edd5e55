// Kills a real broker at random moments and random steps of tiering, while its records leave the disk, expire, and are
// replayed from disk and store. TIERING_KILLS says how often (default 8); CRASH_SEED repeats the moments of a run.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seededRandom, type Random } from '../../broker/core/random.ts';
import { fsckAt } from '../../broker/fsck.ts';
import { connect, type Client } from '../../client/src/index.ts';
import { BrokerProcess } from '../support/broker-process.ts';
import { CrashLoad } from './crash-load.ts';
import { itKeptItsPromises } from './kept-promises.ts';
import { ReplayWatch } from './replay-watch.ts';
import { tieringArgs, tieringSteps } from './tiering-steps.ts';

const rounds = Number(process.env['TIERING_KILLS'] ?? 8);
const seed = Number(process.env['CRASH_SEED'] ?? Math.floor(Math.random() * 2 ** 31));

describe(`a tiered broker killed ${rounds} times under load (CRASH_SEED=${seed})`, () => {
  let broker: BrokerProcess;
  let client: Client;
  let load: CrashLoad;
  let watch: ReplayWatch;
  let shortLived: ReplayWatch;

  beforeAll(
    async () => {
      const random = seededRandom(seed);
      const program = join(import.meta.dirname, 'broker-with-fail-point.ts');
      broker = await BrokerProcess.start({ program, args: tieringArgs });
      client = connect({ server: broker.server });
      load = await CrashLoad.start(client);
      watch = new ReplayWatch(client, load.topic);
      const expiring = await publishExpiring(client, 'expiring');
      shortLived = new ReplayWatch(client, 'expiring');
      for (let round = 0; round < rounds; round++) {
        await broker.kill('SIGKILL');
        await live(broker, load, random);
      }
      await broker.restart();
      await Promise.all([expiring.stop(), watch.end(), shortLived.end()]);
      await load.finish();
    },
    60_000 + rounds * 10_000,
  );

  afterAll(async () => {
    await client.close();
    await broker[Symbol.asyncDispose]();
  });

  it('brought records to the store, and dropped what had expired', async () => {
    expect((await client.topics.get(load.topic)).coldBytes).toBeGreaterThan(1_000_000);
    const [expired] = (await client.topics.get('expiring')).partitions;
    expect(expired?.startOffset).toBeGreaterThan(0);
    expect(watch.count + shortLived.count).toBeGreaterThan(1);
  });

  itKeptItsPromises(() => load);

  it('showed every replay the same records, without a hole', () => {
    expect(watch.faults).toEqual([]);
    expect(shortLived.faults).toEqual([]);
  });

  it('left nothing in the store that nobody refers to, and nothing damaged', async () => {
    const look = async () => {
      const url = `file://${join(broker.dataDir, 'objects')}`;
      const report = await fsckAt(url, {}, { isFast: false, nowMs: 0, progress: () => {} });
      const checkpoints = await checkpointsIn(join(broker.dataDir, 'objects'));
      return { findings: report.findings, unreferenced: report.recent, checkpoints };
    };
    await expect
      .poll(look, { timeout: 20_000, interval: 200 })
      .toEqual({ findings: [], unreferenced: 0, checkpoints: { '0': 1, system: 1 } });
  }, 30_000);
});

/**
 * One life of the broker: it ends at a step of tiering, or some time after publishers have found it again, whichever
 * comes first.
 */
async function live(broker: BrokerProcess, load: CrashLoad, random: Random): Promise<void> {
  const point = tieringSteps[Math.floor(random.next() * tieringSteps.length)] ?? tieringSteps[0];
  const nth = 1 + Math.floor(random.next() * 4);
  const moreMs = random.next() * 1_500;
  const before = load.published.length;
  // It may die before it is ready.
  await broker.restart({ FAIL_POINT: `${point}:${nth}` }).catch(() => undefined);
  while (broker.isRunning && load.published.length === before) await pause(20);
  await Promise.race([broker.exited(), pause(moreMs)]);
  await broker.kill('SIGKILL');
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** How many checkpoints the store has, by shard. */
async function checkpointsIn(store: string): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const shard of await readdir(join(store, 'shards'))) {
    const parts = await readdir(join(store, 'shards', shard, 'checkpoints'));
    counts[shard] = new Set(parts.map((part) => part.replace(/-[0-9]+\.ckpt$/, ''))).size;
  }
  return counts;
}

/** Publishes to a topic that keeps little more than 200 KB, until it is stopped. */
async function publishExpiring(client: Client, topic: string) {
  const retention = { ageMs: 0, bytes: 200_000, forever: false, unackedAgeMs: 0 };
  await client.topics.apply(topic, { retention });
  const publisher = client.publisher(topic);
  let isStopping = false;
  const publishing = (async () => {
    for (let i = 0; !isStopping; i++)
      await publisher.publish({ value: `${i} `.padEnd(4_000, 'x') });
  })();
  return {
    async stop(): Promise<void> {
      isStopping = true;
      await publishing;
      await publisher.close();
    },
  };
}
