// The state of a stream subscription in one partition: one cursor and one active consumer.
//
// Invariants:
// - acked <= sent: nothing is acked that was not sent to the active consumer (or skipped by retention);
// - only the active consumer is sent anything; a new one starts at the acked position, so a change of consumer
//   repeats what was not acked and skips nothing;
// - the acked position goes back by a seek only.
//
//   standby (no active consumer) --activate(c)--> active(c) --activate(undefined)--> standby
import { assert } from '../core/assert.ts';
import type { Offset } from '../core/ids.ts';
import { WireWriter } from '../../proto/wire/writer.ts';
import { readDurable, readOffset } from './durable-bytes.ts';
import { isOffset } from './offset-range.ts';

export type StreamNext =
  | { readonly kind: 'run'; readonly first: Offset; readonly last: Offset }
  /** Everything there is was sent. */
  | { readonly kind: 'idle' }
  /** No consumer is active. */
  | { readonly kind: 'blocked'; readonly reason: 'no_consumers' };

const idle: StreamNext = { kind: 'idle' };
const noConsumers: StreamNext = { kind: 'blocked', reason: 'no_consumers' };
const formatVersion = 1;

export class StreamState {
  private ackedOffset: Offset;
  private sentOffset: Offset;
  private active: number | undefined;

  /** Everything below `acked` counts as acked. */
  constructor(acked: Offset = 0) {
    assert(isOffset(acked), `acked position ${acked}`);
    this.ackedOffset = acked;
    this.sentOffset = acked;
  }

  /** Everything below is acked. */
  get acked(): Offset {
    return this.ackedOffset;
  }

  /** The next offset to send. */
  get sent(): Offset {
    return this.sentOffset;
  }

  get consumer(): number | undefined {
    return this.active;
  }

  /**
   * Makes a consumer the active one, or nobody. Sending starts again at the acked position, unless it is active
   * already: a plan that keeps a consumer must not repeat records to it. Answers whether anything changed.
   */
  activate(consumer: number | undefined): boolean {
    if (consumer === this.active) return false;
    this.active = consumer;
    this.sentOffset = this.ackedOffset;
    return true;
  }

  /** What to send next; changes nothing. `end`: the offset after the partition's last visible record. */
  next(end: Offset): StreamNext {
    if (this.sentOffset >= end) return idle;
    if (this.active === undefined) return noConsumers;
    return { kind: 'run', first: this.sentOffset, last: end - 1 };
  }

  /** Records up to and including `last` were sent to the active consumer. */
  markSent(last: Offset): void {
    assert(this.active !== undefined, 'records sent while no consumer is active');
    assert(last >= this.sentOffset, `sent up to ${last}, but ${this.sentOffset} comes next`);
    this.sentOffset = last + 1;
  }

  /**
   * Everything up to and including `last` is done. Answers how many records that newly acked (0: a repeat); past
   * what was sent it is refused: a consumer cannot have worked on it.
   */
  ackCumulative(last: Offset): number | 'invalid' {
    if (!isOffset(last) || last >= this.sentOffset) return 'invalid';
    if (last < this.ackedOffset) return 0;
    const newly = last + 1 - this.ackedOffset;
    this.ackedOffset = last + 1;
    return newly;
  }

  /** Everything below `offset` counts as acked, everything from it on as not; sending goes on there. */
  seek(offset: Offset): void {
    assert(isOffset(offset), `seek to ${offset}`);
    this.ackedOffset = offset;
    this.sentOffset = offset;
  }

  /** Offsets below are gone for ever (retention). Answers how many unacked ones that were. */
  skipTo(offset: Offset): number {
    const gone = Math.max(offset - this.ackedOffset, 0);
    this.ackedOffset += gone;
    this.sentOffset = Math.max(this.sentOffset, this.ackedOffset);
    return gone;
  }

  /** Recovery: a journaled ack up to and including `last`, older or newer than what is known. */
  applyAcked(last: Offset): void {
    this.skipTo(last + 1);
  }

  /** The durable form: the acked position. */
  encode(): Uint8Array {
    const writer = new WireWriter(16);
    writer.varint(formatVersion);
    writer.varint(this.ackedOffset);
    return writer.finish();
  }

  /** Throws DATA_LOSS when the bytes are not what `encode` made. */
  static decode(bytes: Uint8Array): StreamState {
    return readDurable('stream checkpoint', bytes, (reader, damaged) => {
      const version = reader.varint();
      if (version !== formatVersion) throw damaged(`version ${version}`);
      return new StreamState(readOffset(reader, damaged));
    });
  }
}
