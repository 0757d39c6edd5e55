import { describe, expect, it } from 'vitest';
import { limits } from '../../broker/core/limits.ts';
import { PingBudget } from '../../broker/server/ping-budget.ts';

const answerBytes = 17;

/** How many pings are taken of one client, each answered and `everyMs` after the other, up to `most`. */
function taken(most: number, everyMs: number, sentBetween: (ping: number) => number): number {
  const budget = new PingBudget(0);
  let sent = 0;
  for (let i = 0; i < most; i++) {
    sent += sentBetween(i);
    if (!budget.spend(i * everyMs, sent)) return i;
    sent += answerBytes;
  }
  return most;
}

describe('pings of a client', () => {
  it('are taken for ever at the pace of a keepalive', () => {
    expect(taken(100_000, 1_000 / limits.idlePingsPerSecond, () => 0)).toBe(100_000);
  });

  it('are taken as often as it receives something', () => {
    expect(taken(100_000, 0, () => 100)).toBe(100_000);
    expect(taken(100_000, 0, (i) => (i % limits.idlePingsMax === 0 ? 100 : 0))).toBe(100_000);
  });

  it('that are a flood end after the budget', () => {
    expect(taken(100_000, 0, () => 0)).toBe(limits.idlePingsMax);
    expect(taken(100_000, 1, () => 0)).toBeLessThan(limits.idlePingsMax * 1.1);
  });
});
