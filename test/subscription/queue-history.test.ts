// Small scopes, all of it: every history of few commands on few records. And long random ones. What a queue is after
// any of them is what its journal says, from whatever checkpoint it is read.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { commands, QueueHistory, type Command, type QueuedRecord } from './queue-history.ts';

/** Three of a key, one of them delayed, one without a key, one that goes first on a plain queue. */
const records: readonly QueuedRecord[] = [
  { key: 7, deliverAtMs: 0, priority: 0 },
  { key: 7, deliverAtMs: 20, priority: 0 },
  { key: 0, deliverAtMs: 0, priority: 5 },
  { key: 7, deliverAtMs: 0, priority: 0 },
];

/** Where a history begins: nothing yet; both consumers at work; a first attempt failed and a letter on its way. */
const preludes: readonly (readonly Command[])[] = [
  [],
  ['lease to 1', 'lease to 2'],
  ['lease to 1', 'lease to 2', 'nack', 'reject', 'checkpoint', 'time'],
];
const depth = 3;

function played(isKeyed: boolean, history: readonly Command[]): QueueHistory {
  const queue = new QueueHistory(isKeyed, records);
  for (const command of history) queue.run(command);
  return queue;
}

/** Every history that goes on from this one with at most `left` commands; answers how many those are. */
function explore(isKeyed: boolean, history: readonly Command[], left: number): number {
  let count = 0;
  for (const command of commands) {
    const queue = played(isKeyed, history);
    if (!queue.run(command)) continue;
    queue.compare();
    count++;
    if (left > 1) count += explore(isKeyed, [...history, command], left - 1);
    else queue.drain();
  }
  return count;
}

describe.each([false, true])('a queue (keyed: %s)', (isKeyed) => {
  it.each(preludes.map((prelude) => ({ prelude })))(
    'is what its journal says after every short history that begins with $prelude',
    ({ prelude }) => {
      expect(explore(isKeyed, prelude, depth)).toBeGreaterThan(300);
    },
    60_000,
  );

  it('is what its journal says after any history', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(...commands), { maxLength: 60, size: 'max' }),
        (history) => {
          const queue = new QueueHistory(isKeyed, [...records, ...records, ...records]);
          for (const command of history) if (queue.run(command)) queue.compare();
          queue.drain();
        },
      ),
      { numRuns: 150 },
    );
  }, 60_000);
});
