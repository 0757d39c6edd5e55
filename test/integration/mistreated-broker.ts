// A real broker that is about to be mistreated, and a well-behaved publisher that must not notice.
//
// `describeAfterwards` is the last thing in a file that uses it: nothing lost, nothing slow, nothing left behind.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BrokerProcess } from '../support/broker-process.ts';
import { metric } from '../support/metric.ts';
import { itNeeding } from '../support/needs.ts';
import { anonymousMiB, noProcFs } from '../support/process-memory.ts';
import { RawGrpc } from '../support/raw-grpc.ts';
import { SteadyPublisher } from '../support/steady-publisher.ts';

/** A record of the steady publisher takes a few ms; more than this would be a broker that somebody else has stopped. */
const publishWithinMs = 2_000;
/** What heap and caches keep after the load, MiB. */
const memoryGrowthMiB = 96;
const leftWithin = { timeout: 10_000 };

export interface Mistreated {
  readonly broker: BrokerProcess;
  readonly steady: SteadyPublisher;
  /** The connection of the one who mistreats it. */
  readonly grpc: RawGrpc;
}

/** Starts it before the tests of this file, with a topic of two partitions and a subscription of each kind. */
export function mistreatBroker(topic: string): () => Mistreated {
  let present: Mistreated | undefined;
  const get = (): Mistreated => {
    if (present === undefined) throw new Error('the broker is not started yet');
    return present;
  };
  let memoryBeforeMiB = 0;

  beforeAll(async () => {
    const broker = await BrokerProcess.start();
    const steady = await SteadyPublisher.start(broker.server, 'steady');
    await steady.client.topics.apply(topic, { partitions: 2 });
    await steady.client.subscriptions.apply(topic, 'queue', { kind: 'queue' });
    await steady.client.subscriptions.apply(topic, 'stream', { kind: 'stream' });
    present = { broker, steady, grpc: new RawGrpc(broker.server) };
    if (noProcFs === undefined) memoryBeforeMiB = await anonymousMiB(broker.pid);
  });

  afterAll(async () => {
    const { broker, steady, grpc } = get();
    grpc[Symbol.dispose]();
    await steady.client.close();
    await broker[Symbol.asyncDispose]();
  });

  afterwards.set(get, () => memoryBeforeMiB);
  return get;
}

/** Where each one's memory before all tests is kept. */
const afterwards = new WeakMap<() => Mistreated, () => number>();

export function describeAfterwards(get: () => Mistreated): void {
  describe('afterwards', () => {
    it('the well-behaved publisher has lost nothing and never waited long', async () => {
      const { broker, steady } = get();
      expect(broker.isRunning).toBe(true);
      expect(steady.publishedCount).toBeGreaterThan(10);
      expect(await steady.stop()).toBe('');
      expect(steady.slowestMs).toBeLessThan(publishWithinMs);
    });

    it('connections and streams of those who left are gone', async () => {
      const { broker, grpc } = get();
      grpc[Symbol.dispose]();
      await expect.poll(() => metric(broker, 'millrace_streams'), leftWithin).toBe(0);
      await expect.poll(() => metric(broker, 'millrace_connections'), leftWithin).toBe(1);
      expect(await metric(broker, 'millrace_publish_pending_bytes')).toBe(0);
    });

    itNeeding(noProcFs, 'memory has returned', async () => {
      const beforeMiB = afterwards.get(get)?.() ?? Number.NaN;
      await expect
        .poll(() => anonymousMiB(get().broker.pid), leftWithin)
        .toBeLessThan(beforeMiB + memoryGrowthMiB);
    });

    it('the broker ends when it is told to, without a word of an unexpected failure', async () => {
      const { broker, steady } = get();
      await steady.client.close();
      expect(await broker.kill('SIGTERM')).toBe(0);
      expect(broker.stderr).not.toMatch(/unexpected|unhandled|assert/i);
    });
  });
}
