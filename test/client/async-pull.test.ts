import { describe, expect, it } from 'vitest';
import { AsyncPull } from '../../client/src/async-pull.ts';
import { Fifo } from '../../client/src/fifo.ts';

describe('an async pull', () => {
  it('serves several waiting loops in the order in which they asked', async () => {
    const items: string[] = [];
    const pull = new AsyncPull(
      () => items.shift(),
      () => Promise.resolve(),
    );
    const asked = [pull.next(), pull.next(), pull.next()];
    items.push('a', 'b');
    pull.wake();
    items.push('c');
    pull.wake();
    expect((await Promise.all(asked)).map(({ value }) => value)).toEqual(['a', 'b', 'c']);
  });

  it('takes nothing before it is asked', () => {
    let taken = 0;
    const pull = new AsyncPull(
      () => ++taken,
      () => Promise.resolve(),
    );
    pull.wake();
    expect(taken).toBe(0);
  });

  it('gives what is left, then the failure to everybody', async () => {
    const items = ['left'];
    const pull = new AsyncPull(
      () => items.shift(),
      () => Promise.resolve(),
    );
    pull.end(new Error('gone'));
    pull.end();
    expect(await pull.next()).toEqual({ value: 'left', done: false });
    await expect(pull.next()).rejects.toThrow('gone');
    await expect(pull.next()).rejects.toThrow('gone');
  });

  it('tells whoever waits that it is over', async () => {
    const pull = new AsyncPull<string>(
      () => undefined,
      () => Promise.resolve(),
    );
    const asked = [pull.next(), pull.next()];
    pull.end();
    expect((await Promise.all(asked)).map(({ done }) => done)).toEqual([true, true]);
  });
});

describe('a first-in-first-out list', () => {
  it('gives what was put in, in order, over many rounds', () => {
    const fifo = new Fifo<{ readonly n: number }>();
    let put = 0;
    let got = 0;
    for (let round = 0; round < 50; round++) {
      for (let i = 0; i < round; i++) fifo.push({ n: put++ });
      for (let i = 0; i < round - (round % 3); i++) expect(fifo.shift()?.n).toBe(got++);
      expect(fifo.length).toBe(put - got);
    }
    while (fifo.length > 0) expect(fifo.shift()?.n).toBe(got++);
    expect(got).toBe(put);
    expect(fifo.shift()).toBeUndefined();
  });
});
