// What an append with a sequence comes to, as a table; and that the answers survive.
import { describe, expect, it } from 'vitest';
import { limits } from '../../broker/core/limits.ts';
import { PublishersState, type Publisher } from '../../broker/log/publishers-state.ts';

/** A publisher in epoch 2 that stored sequences 1 to `last`, three records each. */
function publisherWith(last: number): { state: PublishersState; publisher: Publisher } {
  const state = new PublishersState();
  const publisher = state.open('p', 2, 1_000);
  for (let sequence = 1; sequence <= last; sequence++) {
    state.record(publisher, sequence, sequence * 3, 3, 1_000);
  }
  return { state, publisher };
}

describe('an append of a publisher that stored 200', () => {
  const kept = limits.publisherAnswersKept;
  const cases = [
    { epoch: 2, sequence: 201, verdict: { kind: 'append' } },
    { epoch: 3, sequence: 201, verdict: { kind: 'append' } },
    { epoch: 1, sequence: 201, verdict: { kind: 'fenced', epoch: 2 } },
    { epoch: 2, sequence: 0, verdict: { kind: 'append' } },
    { epoch: 1, sequence: 0, verdict: { kind: 'fenced', epoch: 2 } },
    { epoch: 2, sequence: 202, verdict: { kind: 'gap', lastSequence: 200 } },
    { epoch: 2, sequence: 200, verdict: { kind: 'repeat', baseOffset: 600, recordCount: 3 } },
    {
      epoch: 2,
      sequence: 201 - kept,
      verdict: { kind: 'repeat', baseOffset: (201 - kept) * 3, recordCount: 3 },
    },
    { epoch: 2, sequence: 1, verdict: { kind: 'too_old', lastSequence: 200 } },
  ] as const;

  it.each(cases)('with epoch $epoch and sequence $sequence is $verdict.kind', (row) => {
    const { state, publisher } = publisherWith(200);
    expect(state.judge(publisher, row.epoch, row.sequence)).toEqual(row.verdict);
  });

  it('that may leave gaps is stored above the last, and is a repeat at or below it', () => {
    const { state, publisher } = publisherWith(200);
    const judge = (sequence: number) => state.judge(publisher, 2, sequence, true);
    expect(judge(207)).toEqual({ kind: 'append' });
    state.record(publisher, 207, 900, 1, 1_000);
    const last = { kind: 'repeat', baseOffset: 900, recordCount: 1 };
    expect([judge(207), judge(203), judge(1)]).toEqual([last, last, last]);
    expect(judge(208)).toEqual({ kind: 'append' });
  });

  it('with any sequence is the first one of a publisher that stored nothing', () => {
    const { state, publisher } = publisherWith(0);
    expect(state.judge(publisher, 2, 77)).toEqual({ kind: 'append' });
  });
});

describe('publishers of a partition', () => {
  it('are forgotten oldest first when there is no room, but never while a stream holds them', () => {
    const state = new PublishersState();
    for (let i = 0; i < limits.publishersPerPartitionMax; i++) state.open(`p${i}`, 1, i);
    const oldest = state.named('p0');
    if (oldest !== undefined) oldest.openCount = 1;
    expect(state.makeRoom()).toBe(true);
    expect(state.named('p0')).toBeDefined();
    expect(state.named('p1')).toBeUndefined();
  });

  it('have no room for another while streams hold them all', () => {
    const state = new PublishersState();
    for (let i = 0; i < limits.publishersPerPartitionMax; i++)
      state.open(`p${i}`, 1, i).openCount = 1;
    expect(state.makeRoom()).toBe(false);
  });

  it('that nobody used for a day are forgotten', () => {
    const state = new PublishersState();
    state.open('old', 1, 0);
    state.open('new', 1, limits.publisherIdleMs);
    expect(state.forgetIdle(limits.publisherIdleMs + 1)).toBe(1);
    expect(state.named('new')).toBeDefined();
  });

  it('keep those of the broker itself, whose letters may be repeated after days', () => {
    const state = new PublishersState();
    for (const name of ['~dead/7/3', '~6f0a', 'a/b']) state.open(name, 1, 0);
    expect(state.forgetIdle(10 * limits.publisherIdleMs)).toBe(2);
    expect([...state.all()].map(({ name }) => name)).toEqual(['~dead/7/3']);
  });

  it('keep the ids that the journal gave them, also where others were forgotten between', () => {
    const live = new PublishersState();
    const ids = ['a', 'b', 'c'].map((name) => live.open(name, 1, 0).id);
    const replayed = new PublishersState();
    replayed.open('a', 1, 0, ids[0]);
    replayed.open('c', 1, 0, ids[2]);
    expect(replayed.named('c')?.id).toBe(ids[2]);
    expect(replayed.open('d', 1, 0).id).toBeGreaterThan(ids[2] ?? 0);
  });
});
