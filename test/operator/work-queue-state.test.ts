import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { backoffMs } from '../../operator/runtime/backoff.ts';
import { WorkQueueState } from '../../operator/runtime/work-queue-state.ts';

const bounds = { minMs: 100, maxMs: 1_000 };
const keys = ['a', 'b', 'c'] as const;

/** What each key owes, without any structure: when it is due next, and whether it is being worked on. */
class Model {
  readonly owed = new Map<string, number>();
  readonly active = new Set<string>();

  add(key: string, dueMs: number): void {
    this.owed.set(key, Math.min(this.owed.get(key) ?? Infinity, dueMs));
  }

  due(nowMs: number): string[] {
    return keys.filter((key) => !this.active.has(key) && (this.owed.get(key) ?? Infinity) <= nowMs);
  }
}

const command = fc.oneof(
  fc.record({ kind: fc.constant('add' as const), key: fc.constantFrom(...keys) }),
  fc.record({
    kind: fc.constant('addAt' as const),
    key: fc.constantFrom(...keys),
    inMs: fc.integer({ min: 0, max: 500 }),
  }),
  fc.record({ kind: fc.constant('take' as const) }),
  fc.record({ kind: fc.constant('done' as const), key: fc.constantFrom(...keys) }),
  fc.record({ kind: fc.constant('failed' as const), key: fc.constantFrom(...keys) }),
  fc.record({ kind: fc.constant('tick' as const), ms: fc.integer({ min: 1, max: 400 }) }),
);

describe('the work queue', () => {
  it('gives each key when it is due, once at a time, and forgets none', () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 60 }), (commands) => {
        const queue = new WorkQueueState(bounds);
        const model = new Model();
        const failures = new Map<string, number>();
        let nowMs = 0;
        for (const step of commands) {
          switch (step.kind) {
            case 'add':
              queue.add(step.key);
              model.add(step.key, -Infinity);
              break;
            case 'addAt':
              queue.addAt(step.key, nowMs + step.inMs);
              model.add(step.key, nowMs + step.inMs);
              break;
            case 'take': {
              const due = model.due(nowMs);
              const taken = queue.take(nowMs);
              if (due.length === 0) expect(taken).toBeUndefined();
              else expect(due).toContain(taken);
              if (taken !== undefined) {
                model.owed.delete(taken);
                model.active.add(taken);
              }
              break;
            }
            case 'done':
              if (!model.active.delete(step.key)) break;
              failures.delete(step.key);
              queue.done(step.key);
              break;
            case 'failed': {
              if (!model.active.delete(step.key)) break;
              const count = (failures.get(step.key) ?? 0) + 1;
              failures.set(step.key, count);
              model.add(step.key, nowMs + backoffMs(bounds, count, 0.5));
              queue.failed(step.key, nowMs, 0.5);
              break;
            }
            case 'tick':
              nowMs += step.ms;
              break;
          }
          const waiting = [...model.owed].filter(([key]) => !model.active.has(key));
          const nextMs = Math.min(...waiting.map(([, dueMs]) => dueMs));
          if (queue.readyCount === 0) expect(queue.nextDueMs()).toBe(nextMs);
        }
      }),
      { numRuns: 2_000 },
    );
  });

  it('refuses to end what is not being worked on', () => {
    const queue = new WorkQueueState(bounds);
    queue.add('a');
    expect(() => queue.done('a')).toThrow(/not active/);
  });
});

describe('the back-off', () => {
  it('doubles up to its bound, half of it drawn', () => {
    const of = (failures: number, draw: number): number => backoffMs(bounds, failures, draw);
    expect([of(1, 0), of(1, 1), of(2, 1), of(4, 1), of(5, 1), of(1_000, 1)]).toEqual([
      50, 100, 200, 800, 1_000, 1_000,
    ]);
  });
});
