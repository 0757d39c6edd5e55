// One record of a delivery, as an application sees it.
//
// Invariant: a value is decoded once at most, and not before it is asked for.
import { clientError, MillraceError } from '../errors.ts';
import type { DeliveryFields } from '../wire/deliveries.ts';
import type { Decoder } from './codec.ts';
import type { RecordView } from './record-view.ts';
import type { ReceivedRecord } from './record.ts';

const undecoded = Symbol('undecoded');

export class DeliveredRecord<T> implements ReceivedRecord<T> {
  readonly topic: string;
  readonly offset: number;
  protected readonly delivery: DeliveryFields;
  private readonly record: RecordView;
  private readonly decoder: Decoder<T>;
  private decoded: T | typeof undecoded = undecoded;

  constructor(
    topic: string,
    delivery: DeliveryFields,
    offset: number,
    record: RecordView,
    decoder: Decoder<T>,
  ) {
    this.topic = topic;
    this.offset = offset;
    this.delivery = delivery;
    this.record = record;
    this.decoder = decoder;
  }

  get partition(): number {
    return this.delivery.partition;
  }

  get epoch(): number {
    return this.delivery.epoch;
  }

  get appendTimeMs(): number {
    return this.delivery.appendTimeMs;
  }

  get key(): Buffer {
    return this.record.key;
  }

  get value(): T {
    if (this.decoded === undecoded) this.decoded = this.decode();
    return this.decoded;
  }

  get valueBytes(): Buffer {
    return this.record.value;
  }

  get timestampMs(): number {
    return this.record.timestampMs;
  }

  get headers(): readonly (readonly [string, Buffer])[] {
    return this.record.headers;
  }

  text(): string {
    return this.record.value.toString('utf8');
  }

  json(): unknown {
    return JSON.parse(this.text());
  }

  private decode(): T {
    try {
      return this.decoder.decode(this.record.value);
    } catch (error) {
      // The codec itself is wrong; the record is not.
      if (error instanceof MillraceError) throw error;
      const text = error instanceof Error ? error.message : String(error);
      const place = `record ${this.offset} of partition ${this.partition}`;
      throw clientError('VALUE_INVALID', `${place} is not what the codec expects: ${text}`, {
        metadata: {
          topic: this.topic,
          partition: String(this.partition),
          offset: String(this.offset),
        },
        cause: error,
      });
    }
  }
}
