import { describe, expect, test } from 'vitest';
import { QueueRecovery } from '../../broker/subscription/queue-recovery.ts';
import type { QueueState } from '../../broker/subscription/queue-state.ts';
import { noMarks } from '../support/marks.ts';

const draw = (): number => 0;
const [nowMs, end, wanted] = [3, 6, 10];

/** Records 0 to 3 have failed once, of two times; 4 and 5 are fresh. */
function failedOnce(attemptsMax = 2): QueueState {
  const noWait = { ackDeadlineMs: 1_000, backoffMinMs: 0, backoffMaxMs: 0 };
  const policy = { ...noWait, attemptsMax, deadLetterTopic: 'public/default/dead' };
  const start = { policy, nowMs: 0, wallMs: 0, end, firstLease: 1, marks: noMarks() };
  const queue = QueueRecovery.at(0).start(start);
  queue.attemptsDurable(Infinity);
  const { lease } = queue.lease(0, 3, 1, 0);
  queue.nack(lease, 0, 3, 0, 0, draw);
  return queue;
}

/** What the consumer is handed next. */
function take(queue: QueueState, consumer: number): string {
  const next = queue.next(nowMs, end, wanted, consumer);
  if (next.kind !== 'run') return next.kind;
  queue.lease(next.first, next.last, consumer, nowMs);
  return `${next.first}-${next.last}`;
}

describe('a record on its last attempt', () => {
  test('is the only such record that its consumer has, and everything else goes on', () => {
    const queue = failedOnce();
    const handed = ['0-0', '4-5', 'others', 'others'];
    expect(handed.map(() => take(queue, 1))).toEqual(handed);
    expect([take(queue, 2), take(queue, 2), take(queue, 3)]).toEqual(['1-1', 'others', '2-2']);
  });

  test('takes no neighbour along when its consumer dies, and makes room for the next when it is done', () => {
    const queue = failedOnce();
    expect([take(queue, 1), take(queue, 1), take(queue, 1)]).toEqual(['0-0', '4-5', 'others']);
    queue.releaseConsumer(1, nowMs);
    expect(queue.outbox.count).toBe(1);
    expect(queue.outbox.has(0)).toBe(true);
    expect([take(queue, 2), take(queue, 2)]).toEqual(['1-1', 'others']);
    queue.ack(1, 1);
    expect([take(queue, 2), take(queue, 2)]).toEqual(['2-2', 'others']);
    queue.check();
  });

  test('does not keep a retry behind it from a consumer that has one already', () => {
    const queue = failedOnce(3);
    const again = queue.lease(0, 2, 1, 1);
    queue.nack(again.lease, 0, 2, 0, 1, draw);
    const returned = queue.lease(3, 3, 1, 1);
    queue.giveBack(returned.lease, 3, 3, nowMs);
    const handed = Array.from({ length: 4 }, () => take(queue, 1));
    expect(handed[0]).toBe('0-0');
    expect(handed.slice(1).toSorted()).toEqual(['3-3', '4-5', 'others']);
    expect(take(queue, 2)).toBe('1-1');
  });

  test('is every record of a queue with one attempt: those travel together', () => {
    const queue = failedOnce(1);
    queue.seek(0);
    expect([take(queue, 1), take(queue, 1)]).toEqual(['0-0', '1-1']);
  });
});
