// Codecs by themselves: JSON comes back as it was, and a schema is asked on both ways.
import fc from 'fast-check';
import { describe, expect, expectTypeOf, it } from 'vitest';
import {
  json,
  type Client,
  type Codec,
  type Message,
  type Publisher,
  type PublishRecord,
  type Reader,
  type ReceivedRecord,
  type StandardSchema,
} from '../../client/src/index.ts';
import { rawBytes } from '../../client/src/records/codec.ts';
import { DeliveredRecord } from '../../client/src/records/delivered-record.ts';
import type { RecordView } from '../../client/src/records/record-view.ts';
import { encodingOf } from '../../client/src/publish/value-encoding.ts';

interface Order {
  readonly customer: string;
  readonly total: number;
}

/** `total` may be left out when it is published. */
const orderSchema: StandardSchema<{ customer: string; total?: number }, Order> = {
  '~standard': {
    version: 1,
    vendor: 'test',
    validate: (value) => {
      const { customer, total = 0 } = value as Partial<Order>;
      if (typeof customer !== 'string') {
        return { issues: [{ message: 'expected a string', path: ['customer'] }] };
      }
      return { value: { customer, total } };
    },
  },
};

/** A schema that refuses everything with these issues. */
function refusing(issues: readonly { message: string; path?: PropertyKey[] }[]) {
  return { '~standard': { version: 1, vendor: 'test', validate: () => ({ issues }) } } as const;
}

function bytesOf<In>(codec: Codec<unknown, In>, value: In): Buffer {
  return Buffer.from(codec.encode(value));
}

function recordOf<T>(text: string, codec: Pick<Codec<T>, 'decode'>): DeliveredRecord<T> {
  const delivery = { partition: 3, epoch: 1, appendTimeMs: 0, baseOffset: 7, attempt: 1, lease: 1 };
  const view = { value: Buffer.from(text) } as RecordView;
  return new DeliveredRecord(
    't',
    { ...delivery, selected: [], batch: Buffer.alloc(0) },
    7,
    view,
    codec,
  );
}

describe('JSON', () => {
  it('comes back as it was, but for the sign of zero', () => {
    const codec = json<fc.JsonValue>();
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: 'binary' }), (value) => {
        // As text: JSON has no -0, so that it comes back as 0.
        const back = codec.decode(bytesOf(codec, value));
        expect(JSON.stringify(back)).toBe(JSON.stringify(value));
      }),
    );
  });

  it.each([undefined, () => 1, 1n, Symbol('x')])('refuses what has no JSON: %s', (value) => {
    const encode = encodingOf(json<unknown>());
    expect(() => encode({ value })).toThrow(expect.objectContaining({ reason: 'RECORD_INVALID' }));
  });
});

describe('JSON with a schema', () => {
  it('is checked when it is published', () => {
    const encode = encodingOf(json(orderSchema));
    expect(encode({ key: 'k', value: { customer: 'Ada' } })).toEqual({
      key: 'k',
      value: '{"customer":"Ada"}',
    });
    const wrong = { total: 1 } as unknown as Order;
    expect(() => encode({ value: wrong })).toThrow(
      expect.objectContaining({ kind: 'invalid', reason: 'RECORD_INVALID', effect: 'none' }),
    );
  });

  it('gives a reader what the schema makes of it', () => {
    const codec = json(orderSchema);
    expect(codec.decode(bytesOf(codec, { customer: 'Ada' }))).toEqual({
      customer: 'Ada',
      total: 0,
    });
  });

  it('is asked about what JSON keeps: a date would be text to whoever reads it', () => {
    const dates: StandardSchema<Date> = {
      '~standard': {
        version: 1,
        vendor: 'test',
        validate: (value) =>
          value instanceof Date ? { value } : { issues: [{ message: 'not a date' }] },
      },
    };
    expect(() => encodingOf(json(dates))({ value: new Date() })).toThrow(
      expect.objectContaining({ reason: 'RECORD_INVALID' }),
    );
  });

  it('tells a few issues with their places', () => {
    const issues = Array.from({ length: 7 }, (_, i) => ({ message: 'no', path: ['lines', i] }));
    const { cause } = failureOf(recordOf('{}', json(refusing(issues))));
    expect((cause as Error).message).toBe(
      'lines.0: no; lines.1: no; lines.2: no; lines.3: no; lines.4: no; and 2 more',
    );
  });

  it('refuses a schema that validates asynchronously, and does not blame the record', () => {
    const schema: StandardSchema = {
      '~standard': { version: 1, vendor: 'test', validate: (value) => Promise.resolve({ value }) },
    };
    expect(failureOf(recordOf('{}', json(schema)))).toMatchObject({ reason: 'ARGUMENT_INVALID' });
    expect(() => encodingOf(json(schema))({ value: 1 })).toThrow(
      expect.objectContaining({ reason: 'ARGUMENT_INVALID' }),
    );
  });
});

describe('the value of a received record', () => {
  it('is decoded once, when it is asked for, and the bytes stay at hand', () => {
    let decoded = 0;
    const record = recordOf('null', {
      decode: (bytes) => {
        decoded++;
        return JSON.parse(bytes.toString()) as unknown;
      },
    });
    expect(record.valueBytes.toString()).toBe('null');
    expect(decoded).toBe(0);
    expect([record.value, record.value]).toEqual([null, null]);
    expect(decoded).toBe(1);
  });

  it('is the bytes themselves without a codec', () => {
    const record = recordOf('text', rawBytes);
    expect(record.value).toBe(record.valueBytes);
  });

  it('says which record it is of when it cannot be decoded', () => {
    expect(failureOf(recordOf('{"cust', json<Order>()))).toMatchObject({
      kind: 'invalid',
      reason: 'VALUE_INVALID',
      metadata: { topic: 't', partition: '3', offset: '7' },
    });
  });
});

describe('types', () => {
  it('go from the codec to the handler, the loop and the publisher', () => {
    const open = (client: Client) => ({
      publisher: client.publisher('t', { codec: json<Order>() }),
      lenient: client.publisher('t', { codec: json(orderSchema) }),
      plain: client.publisher('t'),
      reader: client.reader('t', { codec: json(orderSchema) }),
      plainReader: client.reader('t', { from: 'earliest' }),
      consumer: client.consumer('t', 's', { codec: json<Order>() }),
      plainConsumer: client.consumer('t', 's'),
      pulled: client.pull('t', 's', { codec: json<Order>() }),
      consumption: client.consume(
        't',
        's',
        (message) => {
          expectTypeOf(message).toEqualTypeOf<Message<Order>>();
          expectTypeOf(message.value.total).toBeNumber();
        },
        { codec: json<Order>(), concurrency: 4 },
      ),
      plainConsumption: client.consume('t', 's', (message) => {
        expectTypeOf(message.value).toEqualTypeOf<Buffer>();
      }),
    });
    type Opened = ReturnType<typeof open>;
    expectTypeOf<Opened['publisher']>().toEqualTypeOf<Publisher<Order>>();
    expectTypeOf<Opened['lenient']['publish']>()
      .parameter(0)
      .toEqualTypeOf<PublishRecord<{ customer: string; total?: number }>>();
    expectTypeOf<Opened['plain']>().toEqualTypeOf<Publisher>();
    expectTypeOf<Opened['reader']>().toEqualTypeOf<Reader<Order>>();
    expectTypeOf<Opened['plainReader']>().toEqualTypeOf<Reader>();
    expectTypeOf<Opened['consumer']>().toExtend<AsyncIterable<Message<Order>>>();
    expectTypeOf<Opened['plainConsumer']>().toExtend<AsyncIterable<Message<Buffer>>>();
    expectTypeOf<Awaited<Opened['pulled']>[number]['value']>().toEqualTypeOf<Order>();
    expectTypeOf<ReceivedRecord['value']>().toEqualTypeOf<Buffer>();
  });
});

function failureOf(record: ReceivedRecord<unknown>): Error {
  try {
    void record.value;
  } catch (error) {
    return error as Error;
  }
  throw new Error('it was decoded');
}
