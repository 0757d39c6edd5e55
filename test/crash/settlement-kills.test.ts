// A queue under nacks, missed deadlines, rejects, poison, delays and consumers that leave, whose broker is killed again
// and again. CRASH_ROUNDS says how often (default 6); CRASH_SEED repeats the moments of a run.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seededRandom } from '../../broker/core/random.ts';
import { connect, type Client } from '../../client/src/index.ts';
import { BrokerProcess } from '../support/broker-process.ts';
import type { Letter } from '../support/dead-letters.ts';
import { SettlementLoad } from './settlement-load.ts';

const rounds = Number(process.env['CRASH_ROUNDS'] ?? 6);
const seed = Number(process.env['CRASH_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
const records = 10_000;

describe.each([
  { kind: 'queue', keys: 500 },
  { kind: 'keyed_queue', keys: 1_000 },
] as const)(`a $kind killed ${rounds} times (CRASH_SEED=${seed})`, ({ kind, keys }) => {
  let broker: BrokerProcess;
  let client: Client;
  let load: SettlementLoad;
  let letters: Letter[];

  beforeAll(
    async () => {
      const random = seededRandom(seed);
      broker = await BrokerProcess.start({ args: ['--generation-bytes', '1048576'] });
      client = connect({ server: broker.server });
      load = await SettlementLoad.start({ client, random, records, kind, keys });
      for (let round = 0; round < rounds; round++) {
        await new Promise((resolve) => setTimeout(resolve, 50 + random.next() * 300));
        await broker.kill('SIGKILL');
        load.kills++;
        await broker.restart();
      }
      await load.finish();
      letters = await load.letters();
    },
    120_000 + rounds * 10_000,
  );

  afterAll(async () => {
    await client.close();
    await broker[Symbol.asyncDispose]();
  });

  it('worked everything through, and nothing is left anywhere', async () => {
    expect(load.deliveredCount).toBe(records);
    expect(load.done.size).toBeGreaterThan(records * 0.7);
    const { partitions } = await client.subscriptions.get(load.topic, 'work');
    const nothing = { backlog: 0, ready: 0, inFlight: 0, waiting: 0, delayed: 0, dead: 0 };
    expect(partitions).toMatchObject([nothing]);
  });

  it('never delivered a record again once its ack was confirmed', () => {
    expect(load.deliveredAfterConfirmedAck).toEqual([]);
  });

  it('lost nothing: every record was acked by somebody, or is a dead letter', () => {
    expect(load.unaccountedFor(letters)).toEqual([]);
  });

  it('has each dead letter once, with a reason for each', () => {
    expect(new Set(letters.map(({ origin }) => origin)).size).toBe(letters.length);
    expect(letters.length).toBeGreaterThan(load.poison.size);
    expect(load.unfounded(letters)).toEqual([]);
  });

  it('delivered nothing before its time', () => {
    expect(load.delayedCount).toBe(records / 50);
    expect(load.early).toEqual([]);
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
