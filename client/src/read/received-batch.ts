// A batch as a reader received it.
import type { ReceivedRecord } from '../records/record.ts';
import { BatchWalker, deliveredRange } from '../records/delivered-batch.ts';
import { DeliveredRecord } from '../records/delivered-record.ts';
import type { Decoder } from '../records/codec.ts';
import type { DeliveryFields } from '../wire/deliveries.ts';

export class ReceivedBatch<T = Buffer> {
  readonly topic: string;
  readonly partition: number;
  readonly epoch: number;
  readonly appendTimeMs: number;
  readonly firstOffset: number;
  readonly lastOffset: number;
  readonly recordCount: number;
  private readonly delivery: DeliveryFields;
  private readonly decoder: Decoder<T>;

  /** Throws BATCH_DAMAGED. */
  constructor(topic: string, delivery: DeliveryFields, decoder: Decoder<T>) {
    const { first, last, count } = deliveredRange(delivery);
    this.topic = topic;
    this.partition = delivery.partition;
    this.epoch = delivery.epoch;
    this.appendTimeMs = delivery.appendTimeMs;
    this.firstOffset = first;
    this.lastOffset = last;
    this.recordCount = count;
    this.delivery = delivery;
    this.decoder = decoder;
  }

  get byteLength(): number {
    return this.delivery.batch.length;
  }

  /** The bytes of a RecordBatch, as stored. */
  get bytes(): Buffer {
    return this.delivery.batch;
  }

  /** Throws BATCH_DAMAGED. */
  *records(): Generator<ReceivedRecord<T>> {
    const walker = new BatchWalker(this.delivery);
    for (let i = 0; i < this.recordCount; i++) {
      const { offset, record } = walker.next();
      yield new DeliveredRecord(this.topic, this.delivery, offset, record, this.decoder);
    }
  }
}
