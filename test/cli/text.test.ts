// Figures as people read them: sizes and ages rounded, durations in the units of the flags, offsets as ranges.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseDurationMs } from '../../cli/options.ts';
import { ageText, durationText, sizeText } from '../../cli/output.ts';
import { onlyOnDiskCount, topicText } from '../../cli/topic-text.ts';
import type { Topic, TopicPartition } from '../../client/src/index.ts';

describe('a size', () => {
  it.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1 KiB'],
    [1536, '1.5 KiB'],
    [1024 ** 2 - 1, '1 MiB'],
    [10 * 1024 ** 3, '10 GiB'],
    [1.25 * 1024 ** 4, '1.3 TiB'],
    [Number.MAX_SAFE_INTEGER, '8 PiB'],
  ])('of %i bytes is %s', (bytes, text) => {
    expect(sizeText(bytes)).toBe(text);
  });

  it('is below 1024 of its unit, whatever it is', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (bytes) => {
        expect(sizeText(bytes)).toMatch(/^(?:\d{1,3}|10[01]\d|102[0-3])(?:\.\d)? (?:B|[KMGTP]iB)$/);
      }),
    );
  });
});

describe('a duration', () => {
  it.each([
    [0, '0ms'],
    [250, '250ms'],
    [604_800_000, '7d'],
    [5_400_000, '1h 30m'],
    [86_400_001, '1d 1ms'],
  ])('of %i ms is %s', (ms, text) => {
    expect(durationText(ms)).toBe(text);
  });

  it('loses no millisecond: its parts are what the flags take', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (ms) => {
        const parts = durationText(ms).split(' ');
        expect(parts.reduce((sum, part) => sum + parseDurationMs(part), 0)).toBe(ms);
      }),
    );
  });

  it('since a time is in whole seconds and two units, and `-` when there was no such time', () => {
    const nowMs = 1_000_000_000;
    expect(ageText(0, nowMs)).toBe('-');
    expect(ageText(nowMs - 999, nowMs)).toBe('0s');
    expect(ageText(nowMs - 11_530_400, nowMs)).toBe('3h 12m');
    // The broker's clock is ahead.
    expect(ageText(nowMs + 5_000, nowMs)).toBe('0s');
  });
});

const partition: TopicPartition = {
  partition: 0,
  startOffset: 100,
  endOffset: 1_000,
  storedBytes: 900 * 1024,
  lastAppendTimeMs: 0,
  owner: { partition: 0, shard: '0', epoch: 3, address: '127.0.0.1:6700' },
  damage: '',
  hotStartOffset: 500,
  offloadedEndOffset: 900,
  hotBytes: 500 * 1024,
  coldBytes: 800 * 1024,
};

const topic: Topic = {
  name: 'public/default/orders',
  topicId: '7',
  revision: '1',
  spec: {
    partitions: 1,
    labels: { team: 'orders' },
    tiering: { hotAgeMs: 21_600_000, hotBytes: 10 * 1024 ** 3 },
  },
  policySources: {
    retention: 'cluster',
    tiering: 'topic',
    backlogQuota: 'tenant',
    timeToLiveMs: 'cluster',
    batchBytesMax: 'namespace',
  },
  policy: {
    batchBytesMax: 1024 ** 2,
    retention: { ageMs: 604_800_000, bytes: 0, forever: false, unackedAgeMs: 0 },
    tiering: { hotAgeMs: 21_600_000, hotBytes: 10 * 1024 ** 3 },
    backlogQuota: { bytes: 5 * 1024 ** 3, policy: 'drop-oldest' },
    timeToLiveMs: 0,
  },
  partitions: [partition],
  storedBytes: 900 * 1024,
  hotBytes: 500 * 1024,
  coldBytes: 800 * 1024,
  subscriptionCount: 0,
};

/** What the columns of the partition say, by their heads. */
function cells(described: TopicPartition): Record<string, string> {
  const lines = topicText({ ...topic, partitions: [described] }).split('\n');
  const [head = '', row = ''] = lines.slice(-2);
  const split = (line: string): string[] => line.trim().split(/ {2,}/);
  return Object.fromEntries(split(head).map((name, i) => [name, split(row)[i] ?? '']));
}

describe('a described topic', () => {
  it('says how long records stay hot, in the units of the flags', () => {
    const text = topicText(topic);
    expect(text).toContain('retention      younger than 7d; unacked for ever (cluster)');
    expect(text).toContain('largest batch  1 MiB (namespace)');
    expect(text).toMatch(/^backlog .*, then the oldest go \(tenant\)$/m);
    expect(text).toContain('hot            younger than 6h and the newest 10 GiB per partition\n');
    expect(text).toContain('900 KiB: 500 KiB on the disk, 800 KiB in the object store');
    const policy = { ...topic.policy, tiering: { hotAgeMs: 0, hotBytes: 0 } };
    expect(topicText({ ...topic, policy })).toContain('as long as the disk has room');
  });

  it('shows first and last offset of what is cold, what is hot, and what only the disk has', () => {
    expect(cells(partition)).toMatchObject({
      START: '100',
      END: '1000',
      COLD: '100..499',
      HOT: '500..999',
      'ONLY ON DISK': '900..999',
      STORED: '900 KiB',
      'ON DISK': '500 KiB',
      'IN STORE': '800 KiB',
      SHARD: '0',
      EPOCH: '3',
    });
    expect(onlyOnDiskCount(topic)).toBe(100);
  });

  it('shows nothing hot when all has left the disk, and nothing cold before an offload', () => {
    const allCold = { ...partition, hotStartOffset: 1_000, offloadedEndOffset: 1_000 };
    expect(cells(allCold)).toMatchObject({ COLD: '100..999', HOT: '-', 'ONLY ON DISK': '-' });
    const allHot = { ...partition, hotStartOffset: 100, offloadedEndOffset: 100 };
    expect(cells(allHot)).toMatchObject({
      COLD: '-',
      HOT: '100..999',
      'ONLY ON DISK': '100..999',
    });
  });

  it('keeps the place of an emptied partition', () => {
    const offsets = { startOffset: 5, endOffset: 5, hotStartOffset: 5, offloadedEndOffset: 5 };
    const empty = { ...partition, ...offsets };
    expect(cells(empty)).toMatchObject({ START: '5', END: '5', COLD: '-', HOT: '-' });
    expect(onlyOnDiskCount({ ...topic, partitions: [empty] })).toBe(0);
  });
});
