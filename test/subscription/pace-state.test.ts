import { describe, expect, it } from 'vitest';
import { PaceState } from '../../broker/subscription/pace-state.ts';

/** Acks so many records every 10 ms for so long; answers when it ended. */
function ackFor(pace: PaceState, records: number, ms: number, fromMs = 0): number {
  for (let at = 0; at < ms; at += 10) pace.acked(7, records, fromMs + at);
  return fromMs + ms;
}

describe('the pace of a consumer', () => {
  it('is what it acked in the tenth of a second before', () => {
    const pace = new PaceState();
    const nowMs = ackFor(pace, 5, 250);
    expect(pace.recordsOf(7, nowMs)).toBe(50);
    expect(pace.recordsOf(8, nowMs)).toBe(1);
  });

  it('has an upper bound', () => {
    const pace = new PaceState();
    expect(pace.recordsOf(7, ackFor(pace, 1_000, 250))).toBe(256);
  });

  it('is nothing yet for a new one, and nothing any more for one that pauses or has gone', () => {
    const pace = new PaceState();
    expect(pace.recordsOf(7, 0)).toBe(1);
    expect(pace.recordsOf(7, ackFor(pace, 50, 90))).toBe(1);
    const nowMs = ackFor(pace, 50, 250, 90);
    expect(pace.recordsOf(7, nowMs)).toBeGreaterThan(100);
    expect(pace.recordsOf(7, nowMs + 200)).toBe(1);
    pace.acked(7, 1, nowMs + 1_000);
    expect(pace.recordsOf(7, nowMs + 1_000)).toBe(1);
    const again = ackFor(pace, 50, 250, nowMs + 1_000);
    pace.forget(7);
    expect(pace.recordsOf(7, again)).toBe(1);
  });

  it('falls with a consumer that becomes slow', () => {
    const pace = new PaceState();
    const nowMs = ackFor(pace, 50, 250);
    expect(pace.recordsOf(7, ackFor(pace, 1, 250, nowMs))).toBe(10);
  });
});
