// What every broker that was killed under a CrashLoad has kept.
import { expect, it } from 'vitest';
import type { CrashLoad } from './crash-load.ts';

/** Within a `describe` whose load has finished before its tests. */
export function itKeptItsPromises(load: () => CrashLoad): void {
  it('kept every confirmed record at its offset, once, with its own bytes', async () => {
    const stored = await load().replay();
    const lost = load().published.filter(
      ({ partition, offset, value }) => stored.get(`${partition}/${offset}`) !== value,
    );
    expect(lost).toEqual([]);
    const values = [...stored.values()];
    expect(values.length - new Set(values).size, 'records stored twice').toBe(0);
  }, 60_000);

  it('kept the order of each publisher within each partition', async () => {
    expect(await load().outOfOrder()).toEqual([]);
  }, 60_000);

  it('never delivered a record again once its ack was confirmed', () => {
    expect(load().deliveredAfterConfirmedAck).toEqual([]);
  });

  it('gave the stream each partition in order, with repeats but without holes', () => {
    expect(load().streamHoles).toEqual([]);
  });
}
