// The records of one delivery, walked once and in order: plain or compressed, all of them or only the selected ones.
import { WireReader } from '../../../proto/wire/reader.ts';
import type { DeliveryFields } from '../wire/deliveries.ts';
import { openBatch } from './compress.ts';
import { RecordView } from './decode-batch.ts';

export interface WalkedRecord {
  readonly offset: number;
  readonly record: RecordView;
}

export class BatchWalker {
  private readonly reader: WireReader;
  private readonly plain: Buffer;
  private readonly baseOffset: number;
  /** Inclusive pairs of indexes still to come, flattened; undefined: all. */
  private readonly selected: readonly number[] | undefined;
  private pair = 0;
  private index = 0;

  /** Throws CORRUPT_BATCH. */
  constructor({ batch, baseOffset, selected }: DeliveryFields) {
    this.plain = openBatch(batch);
    this.reader = new WireReader(this.plain);
    this.baseOffset = baseOffset;
    this.selected = selected.length > 0 ? selected : undefined;
  }

  /** The next record, or undefined after the last one. */
  next(): WalkedRecord | undefined {
    const { reader } = this;
    while (!reader.done) {
      reader.tag();
      const end = reader.delimited();
      const start = reader.position;
      reader.position = end;
      const index = this.index++;
      if (!this.isSelected(index)) continue;
      return {
        offset: this.baseOffset + index,
        record: new RecordView(this.plain, start, end),
      };
    }
    return undefined;
  }

  private isSelected(index: number): boolean {
    const { selected } = this;
    if (selected === undefined) return true;
    while (this.pair < selected.length && index > (selected[this.pair + 1] as number))
      this.pair += 2;
    return this.pair < selected.length && index >= (selected[this.pair] as number);
  }
}

/** First and last offset of a delivery, and how many of those between are delivered. */
export interface DeliveredRange {
  readonly first: number;
  readonly last: number;
  readonly count: number;
}

/** Counts without decoding records. Throws CORRUPT_BATCH. */
export function deliveredRange(delivery: DeliveryFields): DeliveredRange {
  const { baseOffset, selected } = delivery;
  if (selected.length > 0) {
    let count = 0;
    for (let i = 0; i < selected.length; i += 2) {
      count += (selected[i + 1] as number) - (selected[i] as number) + 1;
    }
    const last = selected.at(-1) ?? 0;
    return { first: baseOffset + (selected[0] ?? 0), last: baseOffset + last, count };
  }
  const reader = new WireReader(openBatch(delivery.batch));
  let count = 0;
  for (; !reader.done; count++) {
    reader.tag();
    reader.position = reader.delimited();
  }
  return { first: baseOffset, last: baseOffset + count - 1, count };
}
