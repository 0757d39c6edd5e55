import { expect, it } from 'vitest';
import { KeyedLock } from '../../broker/objects/keyed-lock.ts';

it('runs work on one key in order and never at once, also after a failure', async () => {
  const lock = new KeyedLock();
  const seen: string[] = [];
  const work =
    (name: string, fails = false) =>
    async () => {
      seen.push(`${name} begins`);
      await new Promise((resolve) => setImmediate(resolve));
      seen.push(`${name} ends`);
      if (fails) throw new Error(name);
      return name;
    };
  const answers = await Promise.allSettled([
    lock.run('k', work('a', true)),
    lock.run('k', work('b')),
    lock.run('k', work('c')),
  ]);
  expect(seen).toEqual(['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends']);
  expect(answers.map((answer) => answer.status)).toEqual(['rejected', 'fulfilled', 'fulfilled']);
});

it('runs work on different keys at once, and forgets keys when all is done', async () => {
  const lock = new KeyedLock();
  const { promise, resolve } = Promise.withResolvers<void>();
  const first = lock.run('a', () => promise);
  await lock.run('b', async () => resolve());
  await first;
  await new Promise((done) => setImmediate(done));
  expect(lock.heldCount).toBe(0);
});
