// One record of a delivery, as an application sees it.
import type { DeliveryFields } from '../wire/deliveries.ts';
import type { RecordView } from './record-view.ts';
import type { ReceivedRecord } from './record.ts';

export class DeliveredRecord implements ReceivedRecord {
  readonly topic: string;
  readonly offset: number;
  protected readonly delivery: DeliveryFields;
  private readonly record: RecordView;

  constructor(topic: string, delivery: DeliveryFields, offset: number, record: RecordView) {
    this.topic = topic;
    this.offset = offset;
    this.delivery = delivery;
    this.record = record;
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

  get value(): Buffer {
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
}
