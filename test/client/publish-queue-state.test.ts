import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  inFlightMax,
  PartitionQueueState,
} from '../../client/src/publish/partition-queue-state.ts';
import { ModelClient, steps, type Fault, type Step, type Verdict } from './publish-queue-model.ts';

const verdicts: readonly Verdict[] = ['store', 'store', 'store', 'later', 'never', 'unclear'];

const histories = fc.array(
  fc.record({
    step: fc.oneof(
      fc.constantFrom<Step>('enqueue', 'send', 'arrive', 'commit', 'answer'),
      fc.constantFrom<Step>(...steps),
    ),
    verdict: fc.constantFrom(...verdicts),
  }),
  { minLength: 1, maxLength: 200, size: 'max' },
);

/** What went wrong in a history; undefined when nothing did. */
function fault(history: readonly { step: Step; verdict: Verdict }[], planted: Fault) {
  const client = new ModelClient(planted);
  for (const { step, verdict } of history) client.step(step, verdict);
  client.drain();
  const { log } = client.broker;
  for (let i = 1; i < log.length; i++) {
    if ((log[i] as number) <= (log[i - 1] as number)) return `order ${log.join()}`;
  }
  for (let id = 1; id <= client.enqueued; id++) {
    const outcome = client.outcomes.get(id);
    const isStored = log.includes(id);
    if (outcome === undefined) return `batch ${id} was never settled`;
    if (outcome === 'stored' && !isStored) return `batch ${id} is lost`;
    if (outcome === 'failed' && isStored) return `batch ${id} failed and is stored`;
  }
  return undefined;
}

function faultOrThrown(history: readonly { step: Step; verdict: Verdict }[], planted: Fault) {
  try {
    return fault(history, planted);
  } catch (error) {
    return String(error);
  }
}

describe('a partition queue against a broker', () => {
  it('stores each batch once, in order, whatever is lost, refused or late', () => {
    fc.assert(
      fc.property(histories, (history) => {
        expect(fault(history, 'none')).toBeUndefined();
      }),
      { numRuns: 15_000 },
    );
  });

  it.each(['same-epoch', 'no-probing', 'forgets-numbers'] as const)(
    'is seen to fail with the planted fault %s',
    (planted) => {
      const details = fc.check(
        fc.property(histories, (history) => faultOrThrown(history, planted) === undefined),
        { numRuns: 20_000, endOnFailure: true },
      );
      expect(details.failed).toBe(true);
    },
  );
});

describe('a partition queue', () => {
  it('sends one batch to a partition that does not know it, then as many as are remembered', () => {
    const queue = openQueue(0, 100);
    expect(sendAll(queue)).toEqual([1]);
    queue.stored(1);
    expect(sendAll(queue)).toEqual(Array.from({ length: inFlightMax }, (_, i) => i + 2));
  });

  it('goes on after the last sequence of the process before it', () => {
    expect(sendAll(openQueue(57, 2))).toEqual([58, 59]);
  });

  it('keeps sequences over a lost connection', () => {
    const queue = openQueue(7, 3);
    sendAll(queue);
    queue.disconnected();
    expect(queue.peek()).toBeUndefined();
    queue.opened(9, false);
    expect(sendAll(queue)).toEqual([8, 9, 10]);
  });

  it('numbers anew what followed a refused batch, once all answers are there', () => {
    const queue = openQueue(7, 3);
    sendAll(queue);
    expect(queue.refused(8, { kind: 'never' })).toBe(1);
    queue.refused(9, { kind: 'gap', lastStored: 7 });
    expect(sendAll(queue)).toEqual([]);
    queue.refused(10, { kind: 'gap', lastStored: 7 });
    expect(sendAll(queue)).toEqual([8, 9]);
  });

  it('asks for a new epoch before it uses a number again that a lost stream has sent', () => {
    const queue = openQueue(7, 2);
    sendAll(queue);
    queue.disconnected();
    queue.opened(7, false);
    sendAll(queue);
    queue.refused(8, { kind: 'never' });
    queue.refused(9, { kind: 'gap', lastStored: 7 });
    expect(queue.needsNewEpoch).toBe(true);
    expect(sendAll(queue)).toEqual([]);
    queue.disconnected();
    queue.opened(7, true);
    expect(sendAll(queue)).toEqual([8]);
  });

  it('repeats what was refused for now under the same number, when told to', () => {
    const queue = openQueue(7, 2);
    sendAll(queue);
    queue.refused(8, { kind: 'later' });
    queue.refused(9, { kind: 'gap', lastStored: 7 });
    expect(queue.isWaiting).toBe(true);
    expect(sendAll(queue)).toEqual([]);
    queue.resume();
    expect(sendAll(queue)).toEqual([8, 9]);
  });

  it('does not wait when the time is over before the last answer', () => {
    const queue = openQueue(7, 2);
    sendAll(queue);
    queue.refused(8, { kind: 'later' });
    queue.resume();
    queue.refused(9, { kind: 'gap', lastStored: 7 });
    expect(sendAll(queue)).toEqual([8, 9]);
  });

  it('ignores answers that nobody waits for', () => {
    const queue = openQueue(7, 1);
    expect(queue.stored(8)).toBeUndefined();
    sendAll(queue);
    expect(queue.stored(9)).toBeUndefined();
    expect(queue.refused(9, { kind: 'never' })).toBeUndefined();
    expect(queue.stored(8)).toBe(1);
    expect(queue.stored(8)).toBeUndefined();
  });

  it('drops only what was never sent', () => {
    const queue = openQueue(0, 3);
    sendAll(queue);
    expect(queue.dropUnsent(() => true)).toEqual([2, 3]);
    expect(queue.batches()).toEqual([1]);
  });

  it('tells of what it is emptied whether it may be stored', () => {
    const queue = openQueue(0, 2);
    sendAll(queue);
    expect(queue.clear()).toEqual([
      { batch: 1, mayBeStored: true },
      { batch: 2, mayBeStored: false },
    ]);
    expect(queue.stored(1)).toBeUndefined();
  });
});

/** A queue of an open publisher with batches 1 to `count`. */
function openQueue(lastStored: number, count: number): PartitionQueueState<number> {
  const queue = new PartitionQueueState<number>();
  queue.opened(lastStored, true);
  for (let id = 1; id <= count; id++) queue.enqueue(id);
  return queue;
}

/** Takes everything that may be sent; answers the sequences. */
function sendAll(queue: PartitionQueueState<number>): number[] {
  const sequences: number[] = [];
  for (let taken = queue.take(); taken !== undefined; taken = queue.take()) {
    sequences.push(taken.sequence);
  }
  return sequences;
}
