import { expect, it } from 'vitest';
import { eachInTurn } from '../../broker/core/each-in-turn.ts';

it('work is done for each in turn, also behind one that failed, and the first failure is told', async () => {
  const done: number[] = [];
  const work = async (n: number): Promise<void> => {
    await Promise.resolve();
    if (n % 2 === 0) throw new Error(`no ${n}`);
    done.push(n);
  };
  await expect(eachInTurn([1, 2, 3, 4, 5], work)).rejects.toThrow('no 2');
  expect(done).toEqual([1, 3, 5]);
  await expect(eachInTurn([7], work)).resolves.toBeUndefined();
});
