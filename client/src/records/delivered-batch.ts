// The records of one delivery, walked once and in order: plain or compressed, all of them or only the selected ones.
import { WireError, WireReader } from '../../../proto/wire/reader.ts';
import { clientError, type MillraceError } from '../errors.ts';
import type { DeliveryFields } from '../wire/deliveries.ts';
import { openBatch, statedRecordCount } from './compress.ts';
import { RecordView } from './record-view.ts';

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

  /** Throws BATCH_DAMAGED. */
  constructor({ batch, baseOffset, selected }: DeliveryFields) {
    this.plain = openBatch(batch);
    this.reader = new WireReader(this.plain);
    this.baseOffset = baseOffset;
    this.selected = selected.length > 0 ? selected : undefined;
  }

  /** The next record; to be called as often as the delivery has records. Throws BATCH_DAMAGED. */
  next(): WalkedRecord {
    try {
      return this.walk();
    } catch (error) {
      throw error instanceof WireError ? damaged(error.message, error) : error;
    }
  }

  private walk(): WalkedRecord {
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
    throw damaged(`it has ${this.index} records, fewer than were to be delivered`);
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

/** Counts without decoding records, and without opening a compressed batch. Throws BATCH_DAMAGED. */
export function deliveredRange({ baseOffset, selected, batch }: DeliveryFields): DeliveredRange {
  if (selected.length === 0) {
    const count = statedRecordCount(batch);
    return { first: baseOffset, last: baseOffset + count - 1, count };
  }
  let count = 0;
  let last = -1;
  for (let i = 0; i < selected.length; i += 2) {
    const first = selected[i] as number;
    if (first <= last || (selected[i + 1] as number) < first) {
      throw damaged(`the records selected of it are not in ascending order`);
    }
    last = selected[i + 1] as number;
    count += last - first + 1;
  }
  return { first: baseOffset + (selected[0] as number), last: baseOffset + last, count };
}

function damaged(text: string, cause?: unknown): MillraceError {
  return clientError('BATCH_DAMAGED', `a delivered batch cannot be read: ${text}`, { cause });
}
