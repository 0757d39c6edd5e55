// What one publisher has to send to one partition, and what it is owed an answer for. Pure.
//
//             opened, known ┌─────────┐ refused          all answered
//   closed ────────────────▶│ flowing │────────▶ settling ───────────┬──▶ flowing | probing
//     ▲  │ opened, unknown  └─────────┘             ▲                ├──▶ waiting ──resume──▶ flowing | probing
//     │  └────▶ probing ──────▲ stored              │                └──▶ stale ──opened in a new epoch──▶ …
//     │           └───────────┼─────────────────────┘ refused
//     └── disconnected, from every phase
//
// The broker stores the sequences of a publisher without a gap, takes no number for what it refuses, and takes any
// number as the first of a publisher that it does not know. So:
//
// Invariants:
// - Batches are stored in the order of the queue, each at most once.
// - Sequences are given when a batch is sent first and stay with it while it may have been stored.
// - A batch behind a refused one is not sent again before everything in flight is answered (settling).
// - To an unknown partition one batch is sent at a time (probing): a second one could be stored as the first.
// - A number that a stream sent which is gone is never given to another batch in the same epoch: that stream's bytes
//   may still arrive. The queue is stale then; a new epoch fences the old stream (`needsNewEpoch`).
// - At most `inFlightMax` batches are numbered, as many as the broker remembers answers for.

/** As many answers as a broker remembers per publisher and partition. */
export const inFlightMax = 64;

/** What a refusal means for the queue. */
export type Refusal =
  /** The broker waits for another number; `lastStored` is the last that it has. */
  | { readonly kind: 'gap'; readonly lastStored: number }
  /** Not stored now; the same again later, after `resume`. */
  | { readonly kind: 'later' }
  /** Never to be stored; the batch leaves the queue. */
  | { readonly kind: 'never' }
  /** Leaves the queue too, but may have been stored: only a new epoch tells. */
  | { readonly kind: 'unclear' };

export interface Numbered<B> {
  readonly batch: B;
  readonly sequence: number;
  /** It was sent before: a stream that is gone may still hold its bytes, they must not change. */
  readonly isRepeat: boolean;
}

/** The queue's own view of a batch. */
interface Entry<B> {
  readonly batch: B;
  /** 0: not sent yet. */
  sequence: number;
  isRepeat: boolean;
  isOwed: boolean;
}

type Phase = 'closed' | 'probing' | 'flowing' | 'settling' | 'waiting' | 'stale';

export class PartitionQueueState<B> {
  private phase: Phase = 'closed';
  /** In order; the first `sentCount` went out on this stream and are owed or were refused. */
  private entries: Entry<B>[] = [];
  private sentCount = 0;
  private owedCount = 0;
  private nextSequence = 1;
  /** Last sequence that the broker has; 0 when it knows nothing of this publisher here. */
  private lastStored = 0;
  /** Highest sequence sent on this stream, and on earlier ones of this epoch. */
  private sentSequence = 0;
  private earlierSequence = 0;
  private isUnclear = false;
  private waitsAfterSettling = false;

  /** Batches in the queue. */
  get size(): number {
    return this.entries.length;
  }

  /** Answers that the broker owes. */
  get owed(): number {
    return this.owedCount;
  }

  /** Nothing goes out before the publisher has been opened with a new epoch. */
  get needsNewEpoch(): boolean {
    return this.phase === 'stale';
  }

  /** Refused for now: `resume` when the time has come. */
  get isWaiting(): boolean {
    return this.phase === 'waiting';
  }

  /** A batch of that number may be stored although it was refused now: before, or from a stream that is gone. */
  mayBeStored(sequence: number): boolean {
    return sequence <= Math.max(this.lastStored, this.earlierSequence);
  }

  batches(): B[] {
    return this.entries.map(({ batch }) => batch);
  }

  enqueue(batch: B): void {
    this.entries.push({ batch, sequence: 0, isRepeat: false, isOwed: false });
  }

  /** The batch that may be sent next. */
  peek(): B | undefined {
    if (this.phase === 'flowing') {
      return this.sentCount < inFlightMax ? this.entries[this.sentCount]?.batch : undefined;
    }
    return this.phase === 'probing' && this.sentCount === 0 ? this.entries[0]?.batch : undefined;
  }

  /** Takes what `peek` showed: it is in flight now. */
  take(): Numbered<B> | undefined {
    const entry = this.peek() === undefined ? undefined : this.entries[this.sentCount];
    if (entry === undefined) return undefined;
    if (entry.sequence === 0) entry.sequence = this.nextSequence++;
    const { batch, sequence, isRepeat } = entry;
    entry.isOwed = true;
    entry.isRepeat = true;
    this.sentCount++;
    this.owedCount++;
    this.sentSequence = Math.max(this.sentSequence, sequence);
    return { batch, sequence, isRepeat };
  }

  /** The broker has it, from now or from before. Undefined: nothing is owed for that sequence. */
  stored(sequence: number): B | undefined {
    const index = this.indexOwed(sequence);
    if (index < 0) return undefined;
    const batch = this.remove(index);
    this.lastStored = Math.max(this.lastStored, sequence);
    if (this.phase === 'probing') this.phase = 'flowing';
    this.settleWhenAnswered();
    return batch;
  }

  /** The batch that was refused; it stays in the queue unless the refusal is final. Undefined: nothing is owed. */
  refused(sequence: number, refusal: Refusal): B | undefined {
    const index = this.indexOwed(sequence);
    const entry = this.entries[index];
    if (entry === undefined) return undefined;
    if (refusal.kind === 'never' || refusal.kind === 'unclear') this.remove(index);
    else {
      entry.isOwed = false;
      this.owedCount--;
    }
    if (refusal.kind === 'gap') this.lastStored = refusal.lastStored;
    if (refusal.kind === 'later') this.waitsAfterSettling = true;
    if (refusal.kind === 'unclear') this.isUnclear = true;
    this.phase = 'settling';
    this.settleWhenAnswered();
    return entry.batch;
  }

  /** The time to wait is over. */
  resume(): void {
    this.waitsAfterSettling = false;
    if (this.phase === 'waiting') this.flow();
  }

  /** Nothing that is owed will be answered any more. */
  disconnected(): void {
    this.earlierSequence = Math.max(this.earlierSequence, this.sentSequence);
    this.sentSequence = 0;
    this.answeredAll();
    this.waitsAfterSettling = false;
    this.phase = 'closed';
  }

  /**
   * The publisher is open (again) on a new stream or in a new epoch. `lastStored` is the last sequence that the broker
   * has, 0 when it knows nothing of this publisher here.
   */
  opened(lastStored: number, isNewEpoch: boolean): void {
    if (isNewEpoch) {
      this.earlierSequence = 0;
      this.sentSequence = 0;
      this.isUnclear = false;
    }
    this.lastStored = lastStored;
    this.answeredAll();
    this.settle();
  }

  /** Removes batches that were never sent and that `test` accepts. Those that were sent must stay. */
  dropUnsent(test: (batch: B) => boolean): B[] {
    const dropped: B[] = [];
    this.entries = this.entries.filter(({ batch, sequence }) => {
      const drop = sequence === 0 && test(batch);
      if (drop) dropped.push(batch);
      return !drop;
    });
    return dropped;
  }

  /** Empties the queue. Answers that come nevertheless count for nothing. */
  clear(): { readonly batch: B; readonly mayBeStored: boolean }[] {
    const batches = this.entries.map(({ batch, isRepeat }) => ({ batch, mayBeStored: isRepeat }));
    this.entries = [];
    this.sentCount = 0;
    this.owedCount = 0;
    return batches;
  }

  private indexOwed(sequence: number): number {
    // Answers come in the order of sending: nearly always the first entry.
    for (let index = 0; index < this.sentCount; index++) {
      const entry = this.entries[index];
      if (entry?.sequence === sequence && entry.isOwed) return index;
    }
    return -1;
  }

  private remove(index: number): B | undefined {
    const [entry] = index === 0 ? [this.entries.shift()] : this.entries.splice(index, 1);
    this.sentCount--;
    this.owedCount--;
    return entry?.batch;
  }

  private settleWhenAnswered(): void {
    if (this.phase !== 'settling' || this.owedCount > 0) return;
    this.answeredAll();
    this.settle();
  }

  private answeredAll(): void {
    for (let index = 0; index < this.sentCount; index++) {
      const entry = this.entries[index];
      if (entry !== undefined) entry.isOwed = false;
    }
    this.sentCount = 0;
    this.owedCount = 0;
  }

  /** Everything is answered: makes the numbers fit what the broker has, then goes on. */
  private settle(): void {
    if (this.isUnclear) {
      this.phase = 'stale';
      return;
    }
    if (this.lastStored > 0) {
      const expected = this.lastStored + 1;
      const first = this.firstSequence();
      if (first > expected) {
        if (this.earlierSequence >= expected) {
          this.phase = 'stale';
          return;
        }
        this.renumber(expected);
      }
      this.nextSequence = Math.max(this.nextSequence, expected);
    }
    this.flow();
  }

  private flow(): void {
    if (this.waitsAfterSettling) {
      this.waitsAfterSettling = false;
      this.phase = 'waiting';
    } else this.phase = this.lastStored > 0 ? 'flowing' : 'probing';
  }

  /** The number that would go out next. */
  private firstSequence(): number {
    const first = this.entries[0];
    return first === undefined || first.sequence === 0 ? this.nextSequence : first.sequence;
  }

  private renumber(sequence: number): void {
    this.nextSequence = sequence;
    for (const entry of this.entries) {
      if (entry.sequence === 0) break;
      entry.sequence = this.nextSequence++;
    }
  }
}
