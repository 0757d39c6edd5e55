// Which record a handler gets next. The records of a queue stand side by side; those of a stream stand in one lane per
// partition, and only the first of a lane may be worked on.
//
// Invariants:
// - A lane is at work, or ready, or resting after a failure, or empty: never two of them.
// - Lanes that are ready take turns.
import { Backoff } from '../backoff.ts';
import type { HeldMessage } from './message.ts';

export interface Lane<T> {
  readonly messages: HeldMessage<T>[];
  /** Streams: how long to wait before the first record is tried again. */
  readonly backoff: Backoff;
}

export class OrderedLanes<T> {
  private readonly byPartition = new Map<number, Lane<T>>();
  private ready: Lane<T>[] = [];

  get readyCount(): number {
    return this.ready.length;
  }

  add(message: HeldMessage<T>, isOrdered: boolean): void {
    const lane = isOrdered ? this.byPartition.get(message.partition) : undefined;
    if (lane !== undefined) {
      lane.messages.push(message);
      return;
    }
    const own: Lane<T> = { messages: [message], backoff: new Backoff(Math.random) };
    if (isOrdered) this.byPartition.set(message.partition, own);
    this.ready.push(own);
  }

  /** A lane to work on; its first message is the one to handle. */
  take(): Lane<T> | undefined {
    return this.ready.shift();
  }

  /** Its first message is done with. */
  advance(lane: Lane<T>): void {
    const done = lane.messages.shift();
    if (lane.messages.length > 0) this.ready.push(lane);
    else if (done !== undefined && this.byPartition.get(done.partition) === lane) {
      this.byPartition.delete(done.partition);
    }
  }

  /** Its first message may be tried again now. */
  again(lane: Lane<T>): void {
    this.ready.push(lane);
  }

  /** Answers what was not at work. */
  clear(): HeldMessage<T>[] {
    const waited = this.ready.flatMap(({ messages }) => messages);
    this.ready = [];
    this.byPartition.clear();
    return waited;
  }
}
