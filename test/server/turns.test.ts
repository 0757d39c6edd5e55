import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { Turns } from '../../broker/server/turns.ts';

it('one has its turn after another, and others have theirs in between', async () => {
  const told: string[] = [];
  const turns = new Turns<string>((item) => told.push(item));
  for (const item of ['a', 'b', 'c']) turns.add(item);
  turns.delete('b');
  expect(told).toEqual([]);
  // What others do in each turn of the loop.
  for (let i = 0; i < 3; i++) {
    await nextTurn();
    told.push('-');
  }
  expect(told.join('')).toBe('a-c--');
  expect(turns.waitingCount).toBe(0);
  turns.add('d');
  await expect.poll(() => told.at(-1)).toBe('d');
});
