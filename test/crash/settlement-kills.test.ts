// A queue under nacks, missed deadlines and consumers that leave, whose broker is killed again and again.
// CRASH_ROUNDS says how often (default 8); CRASH_SEED repeats the moments of a run.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seededRandom } from '../../broker/core/random.ts';
import { connect, type Client } from '../../client/src/index.ts';
import { BrokerProcess } from '../support/broker-process.ts';
import { SettlementLoad } from './settlement-load.ts';

const rounds = Number(process.env['CRASH_ROUNDS'] ?? 8);
const seed = Number(process.env['CRASH_SEED'] ?? Math.floor(Math.random() * 2 ** 31));

describe.each([
  { kind: 'queue', keys: 500 },
  { kind: 'keyed_queue', keys: 2_000 },
] as const)(`a $kind killed ${rounds} times (CRASH_SEED=${seed})`, ({ kind, keys }) => {
  let broker: BrokerProcess;
  let client: Client;
  let load: SettlementLoad;

  beforeAll(
    async () => {
      const random = seededRandom(seed);
      broker = await BrokerProcess.start({ args: ['--generation-bytes', '1048576'] });
      client = connect({ server: broker.server });
      load = await SettlementLoad.start({ client, random, records: 20_000, kind, keys });
      for (let round = 0; round < rounds; round++) {
        await new Promise((resolve) => setTimeout(resolve, 50 + random.next() * 300));
        await broker.kill('SIGKILL');
        load.kills++;
        await broker.restart();
      }
      await load.finish();
    },
    120_000 + rounds * 10_000,
  );

  afterAll(async () => {
    await client.close();
    await broker[Symbol.asyncDispose]();
  });

  it('worked everything through', async () => {
    expect(load.deliveredCount).toBe(20_000);
    expect(load.done.size).toBeGreaterThan(15_000);
    const { partitions } = await client.subscriptions.get(load.topic, 'work');
    expect(partitions).toMatchObject([{ backlog: 0, inFlight: 0, waiting: 0 }]);
  });

  it('never delivered a record again once its ack was confirmed', () => {
    expect(load.deliveredAfterConfirmedAck).toEqual([]);
  });

  if (kind === 'keyed_queue') {
    it('never let a record overtake an older one of its key', () => {
      expect(load.overtaken).toEqual([]);
    });
  }

  it('never forgot more than one attempt of a record per kill', () => {
    expect(load.attemptsLost).toEqual([]);
  });
});
