// Kills a real broker at random moments under load and checks that nothing confirmed was lost, repeated or reordered.
// CRASH_ROUNDS says how often (default 30); CRASH_SEED repeats the moments of a run.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seededRandom } from '../../broker/core/random.ts';
import { connect, type Client } from '../../client/src/index.ts';
import { BrokerProcess } from '../support/broker-process.ts';
import { CrashLoad } from './crash-load.ts';
import { itKeptItsPromises } from './kept-promises.ts';

const rounds = Number(process.env['CRASH_ROUNDS'] ?? 30);
const seed = Number(process.env['CRASH_SEED'] ?? Math.floor(Math.random() * 2 ** 31));

describe(`a broker killed ${rounds} times under load (CRASH_SEED=${seed})`, () => {
  let broker: BrokerProcess;
  let client: Client;
  let load: CrashLoad;

  beforeAll(
    async () => {
      const random = seededRandom(seed);
      // Small generations, so that kills also hit rolls, seals, checkpoints and unlinking.
      broker = await BrokerProcess.start({ args: ['--generation-bytes', '1048576'] });
      client = connect({ server: broker.server });
      load = await CrashLoad.start(client);
      for (let round = 0; round < rounds; round++) {
        await sleep(100 + random.next() * 500);
        await broker.kill('SIGKILL');
        await broker.restart();
      }
      await load.finish();
    },
    60_000 + rounds * 10_000,
  );

  afterAll(async () => {
    await client.close();
    await broker[Symbol.asyncDispose]();
  });

  it('made progress between the kills', () => {
    expect(load.published.length).toBeGreaterThan(rounds * 20);
    expect(load.confirmedAcks.size).toBeGreaterThan(rounds);
  });

  itKeptItsPromises(() => load);

  it('delivered every record to the queue and to the stream until it was acked', async () => {
    const stored = await load.replay();
    const undelivered = [...stored.keys()].filter((position) => !load.queueSeen.has(position));
    expect(undelivered).toEqual([]);
    for (const name of ['work', 'tail']) {
      const { partitions } = await client.subscriptions.get(load.topic, name);
      const backlog = partitions.reduce((sum, partition) => sum + partition.backlog, 0);
      expect(backlog, `backlog of ${name}`).toBe(0);
    }
  }, 60_000);
});

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
