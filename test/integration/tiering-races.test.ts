// What happens to a topic while a step of tiering is under way.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HeldStep } from '../support/held-step.ts';
import { failureOf, forever, TieredBroker, valueOf, valuesFrom } from '../support/tiered-broker.ts';

const everything = { ageMs: 1, bytes: 0, forever: false, unackedAgeMs: 0 };
const steps = [
  'offload-before-put',
  'offload-after-put',
  'offload-after-verify',
  'offload-after-record',
] as const;

let step: HeldStep;
let tiered: TieredBroker;

beforeEach(async () => {
  step = new HeldStep();
  tiered = await TieredBroker.start({}, { failPoint: step.failPoint, manifestPageRows: 4 });
});

afterEach(async () => {
  step.release();
  await tiered[Symbol.asyncDispose]();
});

describe.each(steps)('a topic that is offloaded, held at %s,', (point) => {
  let offloading: Promise<unknown>;

  beforeEach(async () => {
    const { client } = tiered;
    await client.topics.apply('t', { retention: forever });
    await tiered.publish('t', 300);
    step.hold(point);
    offloading = client.topics.offload('t', { wait: true });
    await step.untilReached();
  });

  it('and deleted and made again meanwhile never shows old records; their object goes', async () => {
    const { client } = tiered;
    await client.topics.delete('t');
    await client.topics.apply('t', { retention: forever });
    await tiered.publish('t', 5, 1_000);
    step.release();
    expect((await failureOf(offloading)).reason).toBe('TOPIC_NOT_FOUND');
    expect(await tiered.read('t')).toEqual(valuesFrom(1_000, 5));
    await client.topics.offload('t', { wait: true });
    expect(await tiered.read('t')).toEqual(valuesFrom(1_000, 5));
    await expect.poll(() => tiered.objectPaths('.seg'), { timeout: 5_000 }).toHaveLength(1);
  });

  it('and expires meanwhile leaves nothing in the store, and goes on behind', async () => {
    const { client } = tiered;
    await client.topics.apply('t', { retention: everything });
    await expect.poll(async () => (await tiered.partition('t')).startOffset).toBe(300);
    await client.topics.apply('t', { retention: forever });
    step.release();
    await offloading;
    await expect.poll(() => tiered.segmentPaths(), { timeout: 5_000 }).toEqual([]);
    await tiered.publishCold('t', 200, 300);
    expect(await tiered.read('t', 300)).toEqual(valuesFrom(300, 200));
  });

  it('and published to meanwhile is read whole, whether the disk has it or the store', async () => {
    await tiered.publish('t', 200, 300);
    expect(await tiered.read('t')).toEqual(valuesFrom(0, 500));
    step.release();
    await offloading;
    expect(await tiered.read('t')).toEqual(valuesFrom(0, 500));
    await tiered.publishCold('t', 100, 500);
    expect(await tiered.read('t')).toEqual(valuesFrom(0, 600));
  });
});

describe('a sweep that is about to delete', () => {
  it('takes only what nobody refers to, whatever is recorded meanwhile', async () => {
    const { client } = tiered;
    await tiered.publishCold('old', 300);
    step.hold('garbage-before-delete');
    await client.topics.delete('old');
    await step.untilReached();
    for (let i = 0; i < 6; i++) {
      await tiered.publish('filler', 1);
      await client.topics.apply('t', { retention: forever });
      await tiered.publish('t', 100, i * 100);
      await client.topics.offload('t', { wait: true });
    }
    step.release();
    await tiered.publishCold('t', 100, 600);
    await expect.poll(async () => (await tiered.segmentPaths()).length, { timeout: 5_000 }).toBe(7);
    expect(await tiered.read('t')).toEqual(valuesFrom(0, 700));
  });
});

describe('a reader', () => {
  it('that the disk overtakes goes on in the store', async () => {
    const count = 12_000;
    const { client } = tiered;
    await client.topics.apply('t', { retention: forever });
    step.hold('generation-before-drop');
    await tiered.publish('t', count);
    const reader = client.reader('t', { from: 'earliest', stopAtEnd: true });
    let next = 0;
    for await (const record of reader) {
      // More is on its way than the client buffers: the rest is read from the store.
      if (next === 10) {
        step.release();
        await tiered.publishCold('t', 1, count);
      }
      expect(record.text()).toBe(valueOf(next++));
    }
    expect(next).toBe(count);
  });
});
