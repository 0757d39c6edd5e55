// A record on its way to the dead-letter topic and back: its bytes, what a letter says of itself, which filter it
// passes, and where it goes.
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DeadLetterFilter } from '../../broker/catalog/dead-letter-job.ts';
import { parseTopicName } from '../../broker/catalog/names.ts';
import type { Subscription } from '../../broker/catalog/subscription.ts';
import { matches } from '../../broker/cluster/dead-letter-filter.ts';
import type { OpenTopic } from '../../broker/cluster/open-topic.ts';
import { targetOf, type TargetLookup } from '../../broker/cluster/redrive-target.ts';
import type { StoredHeader } from '../../broker/batch/stored-header.ts';
import { StoredBatch } from '../../broker/log/stored-batch.ts';
import { deadLetterRecord } from '../../broker/subscription/dead-letter-record.ts';
import { letterOf } from '../../broker/subscription/dead-letter-view.ts';
import { redrivenRecord } from '../../broker/subscription/redriven-record.ts';
import { RecordBatchSchema, RecordSchema } from '../../proto/gen/millrace/v1/record_pb.ts';
import { murmur3 } from '../../proto/wire/murmur3.ts';
import { CatalogFixture } from '../catalog/catalog-fixture.ts';
import { openTopic } from '../support/open-topic.ts';

type Headers = readonly (readonly [string, string])[];

function plain(key: string, value: string, headers: Headers): Buffer {
  const record = {
    key: Buffer.from(key),
    value: Buffer.from(value),
    timestampMs: 5n,
    headers: headers.map(([name, text]) => ({ name, value: Buffer.from(text) })),
  };
  return Buffer.from(toBinary(RecordBatchSchema, create(RecordBatchSchema, { records: [record] })));
}

function opened(batch: Buffer) {
  const record = fromBinary(RecordBatchSchema, batch).records[0] ?? create(RecordSchema);
  const headers = record.headers.map(({ name, value }) => [name, Buffer.from(value).toString()]);
  const { timestampMs } = record;
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString();
  return { key: text(record.key), value: text(record.value), timestampMs, headers };
}

const origin = { topic: 'public/default/a', partition: 1, subscription: 'work' };
const dead = {
  number: 1,
  offset: 40,
  attempts: 3,
  reason: 'rejected',
  text: 'no',
  isDetached: false,
  target: undefined,
} as const;

function died(batch: Buffer): Buffer {
  const header = { baseOffset: 40, recordCount: 1, bodyBytes: batch.length, flags: 0 };
  const stored = { ...header, epoch: 2, appendTimeMs: 77 } as StoredHeader;
  return deadLetterRecord(new StoredBatch(stored, batch, 0), dead, origin);
}

describe('a record that dies and is redriven', () => {
  const header = fc.tuple(fc.constantFrom('a', 'b', 'x-y', 'millrac-e'), fc.string());

  it('is what it was, but for how often; and says in between why it died', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.array(header), (key, value, headers) => {
        const was = plain(key, value, headers);
        let now = was;
        for (let times = 1; times <= 2; times++) {
          const letter = died(now);
          expect(letterOf(letter)).toEqual({
            key: Buffer.from(key),
            headers: headers.map(([name, text]) => [name, Buffer.from(text)]),
            origin: { ...origin, offset: 40, epoch: 2, appendTimeMs: 77 },
            reason: 'rejected',
            attempts: 3,
            error: 'no',
            redrivenCount: times - 1,
          });
          now = redrivenRecord(letter);
          const before = opened(was);
          const again = [...before.headers, ['millrace-redriven', String(times)]];
          expect(opened(now)).toEqual({ ...before, headers: again });
        }
      }),
    );
  });

  it('that nobody gave up has no origin and no reason', () => {
    const letter = letterOf(plain('k', 'v', [['a', 'b']]));
    expect(letter).toMatchObject({ origin: undefined, reason: undefined, redrivenCount: 0 });
  });
});

const any: DeadLetterFilter = {
  reasons: [],
  key: undefined,
  headers: [],
  sinceMs: 0,
  untilMs: 0,
  originTopic: '',
  originSubscription: '',
};
const headed = (name: string, value: string) => ({ name, value: Buffer.from(value) });

describe('a filter', () => {
  const letter = letterOf(
    died(
      plain('k', 'v', [
        ['a', '1'],
        ['a', '2'],
      ]),
    ),
  );
  const byHand = letterOf(plain('', 'v', []));
  const diedAtMs = 1_000;

  it.each<[string, Partial<DeadLetterFilter>, boolean, boolean]>([
    ['of nothing', {}, true, true],
    ['of its reason', { reasons: ['expired', 'rejected'] }, true, false],
    ['of another reason', { reasons: ['expired'] }, false, false],
    ['of its key', { key: Buffer.from('k') }, true, false],
    ['of no key', { key: Buffer.from('') }, false, true],
    ['of one of its headers', { headers: [headed('a', '2')] }, true, false],
    ['of two of its headers', { headers: [headed('a', '2'), headed('a', '1')] }, true, false],
    ['of a header with another value', { headers: [headed('a', '3')] }, false, false],
    ['of its first moment', { sinceMs: 1_000 }, true, true],
    ['of a later one', { sinceMs: 1_001 }, false, false],
    ['that ends before', { untilMs: 1_000 }, false, false],
    ['that ends behind', { untilMs: 1_001 }, true, true],
    ['of its topic', { originTopic: origin.topic }, true, false],
    ['of another topic', { originTopic: 'public/default/b' }, false, false],
    ['of its subscription', { originSubscription: 'work' }, true, false],
    ['of another subscription', { originSubscription: 'x' }, false, false],
    ['of two things of which one is so', { key: Buffer.from('k'), sinceMs: 2_000 }, false, false],
  ])('%s', (_, patch, passes, passesByHand) => {
    const filter = { ...any, ...patch };
    expect(matches(filter, letter, diedAtMs)).toBe(passes);
    expect(matches(filter, byHand, diedAtMs)).toBe(passesByHand);
  });
});

/** A catalog with topics of so many partitions, each with a queue `work`. */
function lookup(topics: Readonly<Record<string, number>>): TargetLookup & { id: number } {
  const fixture = new CatalogFixture();
  for (const [name, partitions] of Object.entries(topics)) {
    fixture.applyTopic(name, { partitions });
    fixture.applySubscription(name, 'work', { kind: 'queue' });
  }
  const { state } = fixture;
  const subscriptions: Subscription[] = [...state.subscriptions()];
  return {
    id: subscriptions[0]?.id ?? 0,
    topic(name) {
      const topic = state.topic(parseTopicName(name));
      // Only how many there are is looked at.
      const logs = Array.from({ length: topic?.spec.partitions ?? 0 });
      return topic && openTopic(topic, logs as unknown as OpenTopic['logs']);
    },
    subscription: (id, name) => state.subscription(id, name),
  };
}

describe('a redriven letter goes', () => {
  const letter = letterOf(died(plain('some key', 'v', [])));
  const request = { job: 9, to: '', tenant: 'public', letter, offset: 7 };
  const hash = murmur3(Buffer.from('some key'), 0, 8);

  it('to its partition, for the subscription that gave it up', () => {
    const found = lookup({ a: 4 });
    expect(targetOf(found, request)).toMatchObject({ job: 9, partition: 1, audience: found.id });
  });

  it('by its key when there is no such partition', () => {
    expect(targetOf(lookup({ a: 1 }), request)).toMatchObject({ partition: 0 });
  });

  it('to another topic by its key, else anywhere, for everybody', () => {
    const found = lookup({ b: 5 });
    const to = { ...request, to: 'public/default/b' };
    expect(targetOf(found, to)).toMatchObject({ partition: hash % 5, audience: 0 });
    const keyless = letterOf(plain('', 'v', []));
    expect(targetOf(found, { ...to, letter: keyless })).toMatchObject({ partition: 7 % 5 });
  });

  it('nowhere when its topic or subscription is gone, it has none, or is of another tenant', () => {
    expect(targetOf(lookup({ b: 1 }), request)).toContain('no topic public/default/a');
    const other = letterOf(died(plain('', 'v', [])));
    const renamed = { ...other, origin: other.origin && { ...other.origin, subscription: 'x' } };
    expect(targetOf(lookup({ a: 1 }), { ...request, letter: renamed })).toContain(
      'no subscription x',
    );
    const byHand = letterOf(plain('', 'v', []));
    expect(targetOf(lookup({ a: 1 }), { ...request, letter: byHand })).toContain('no dead letter');
    expect(targetOf(lookup({ a: 1 }), { ...request, tenant: 'acme' })).toContain('another tenant');
  });
});
