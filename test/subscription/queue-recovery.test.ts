// What a restart makes of entries that stand in the journal in an order of their own.
import { describe, expect, it } from 'vitest';
import { QueueRecovery } from '../../broker/subscription/queue-recovery.ts';
import { noMarks } from '../support/marks.ts';

const policy = { ackDeadlineMs: 1_000, backoffMinMs: 100, backoffMaxMs: 400 };
const letter = {
  number: 1,
  offset: 0,
  attempts: 1,
  reason: 'rejected',
  text: '',
  target: undefined,
} as const;

function started(recovery: QueueRecovery) {
  return recovery.start({
    ...{ policy, nowMs: 0, wallMs: 0, end: 2, firstLease: 1, marks: noMarks() },
  });
}

describe('a record that was rejected and acked in one call, so that its ack stands first', () => {
  it('is acked after a restart, and its letter still arrives', () => {
    const recovery = QueueRecovery.at(0);
    recovery.applyAcked({ first: 0, last: 0 });
    recovery.applyDead([{ ...letter, isDetached: false }]);
    const queue = started(recovery);
    queue.check();
    expect(queue.counts(0, 2)).toMatchObject({ dead: 0, ready: 1, floor: 1 });
    expect(queue.outbox.first).toMatchObject({ number: 1, isDetached: true });
  });

  it('is dead as long as nobody has acked it', () => {
    const recovery = QueueRecovery.at(0);
    recovery.applyDead([{ ...letter, isDetached: false }]);
    const queue = started(recovery);
    expect(queue.counts(0, 2)).toMatchObject({ dead: 1, ready: 1, floor: 0 });
  });
});
