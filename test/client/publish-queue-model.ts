// A broker's partition as PartitionQueueState must get on with it, and a driver that plays a client against it: frames
// of lost streams linger and arrive late, answers are lost, batches are refused for now or for good.
import { PartitionQueueState } from '../../client/src/publish/partition-queue-state.ts';

/** What one step does; numbers so that fast-check shrinks towards doing nothing. */
export const steps = [
  'enqueue',
  'send',
  'arrive',
  'commit',
  'answer',
  'linger',
  'cut',
  'resume',
] as const;
export type Step = (typeof steps)[number];

/** How the broker takes one append. */
export type Verdict = 'store' | 'later' | 'never' | 'unclear';

/** Planted faults; each must be caught. */
export type Fault =
  | 'none'
  /** Numbers are used again without fencing the stream that is gone. */
  | 'same-epoch'
  /** Several batches go out before the broker knows the publisher. */
  | 'no-probing'
  /** What was in flight is numbered anew after a connection was lost. */
  | 'forgets-numbers';

interface Frame {
  readonly epoch: number;
  readonly sequence: number;
  readonly id: number;
}

type Answer =
  | { readonly kind: 'stored'; readonly sequence: number; readonly id: number }
  | { readonly kind: 'gap'; readonly sequence: number; readonly last: number }
  | { readonly kind: 'later' | 'never' | 'unclear'; readonly sequence: number };

interface Opened {
  readonly last: number;
  readonly epoch: number;
}

/** One stream: what is on its way in each direction. */
interface Stream {
  readonly frames: Frame[];
  readonly answers: (Answer | Opened)[];
  /** Stored, not durable yet. */
  uncommitted: Answer[];
}

export class ModelBroker {
  epoch = 0;
  last = 0;
  /** Ids of stored batches, in order. */
  readonly log: number[] = [];
  /** By sequence. */
  private readonly bySequence = new Map<number, number>();

  open(epoch: number): Opened {
    this.epoch = epoch === 0 ? this.epoch + 1 : epoch;
    return { last: this.last, epoch: this.epoch };
  }

  append(frame: Frame, verdict: Verdict): Answer {
    const { sequence, id } = frame;
    if (frame.epoch < this.epoch) return { kind: 'never', sequence };
    const known = this.bySequence.get(sequence);
    if (verdict === 'later' || verdict === 'never') return { kind: verdict, sequence };
    if (known !== undefined) {
      if (sequence <= this.last - 64) throw new Error(`${sequence} is too old at ${this.last}`);
      return { kind: 'stored', sequence, id: known };
    }
    if (this.last > 0 && sequence !== this.last + 1) {
      return { kind: 'gap', sequence, last: this.last };
    }
    if (verdict === 'unclear' && id % 2 === 0) return { kind: 'unclear', sequence };
    this.last = sequence;
    this.bySequence.set(sequence, id);
    this.log.push(id);
    return { kind: verdict === 'unclear' ? 'unclear' : 'stored', sequence, id };
  }
}

export class ModelClient {
  readonly broker = new ModelBroker();
  queue = new PartitionQueueState<number>();
  /** Ids in the order they were settled, and how. */
  readonly outcomes = new Map<number, 'stored' | 'failed' | 'unknown'>();
  private readonly fault: Fault;
  private readonly lost: Stream[] = [];
  private stream: Stream = { frames: [], answers: [], uncommitted: [] };
  private epoch = 0;
  private askedEpoch = 0;
  private isOpen = false;
  private nextId = 1;

  constructor(fault: Fault) {
    this.fault = fault;
    this.open(0);
  }

  get enqueued(): number {
    return this.nextId - 1;
  }

  step(step: Step, verdict: Verdict): void {
    switch (step) {
      case 'enqueue':
        this.queue.enqueue(this.nextId++);
        break;
      case 'send':
        this.send();
        break;
      case 'arrive':
        this.arrive(this.stream, verdict);
        break;
      case 'commit':
        this.stream.answers.push(...this.stream.uncommitted.splice(0));
        break;
      case 'answer':
        this.answer();
        break;
      case 'linger':
        this.linger(verdict);
        break;
      case 'cut':
        this.cut();
        break;
      case 'resume':
        this.queue.resume();
        break;
    }
    this.renewWhenStale();
  }

  /** Lets everything arrive that can, without loss or refusal, until the queue is empty. */
  drain(): void {
    for (let round = 0; this.queue.size > 0; round++) {
      if (round > 10_000) throw new Error(`${this.queue.size} batches are stuck`);
      for (const step of ['resume', 'send', 'arrive', 'commit', 'answer'] as const) {
        this.step(step, 'store');
      }
    }
    for (const stream of this.lost) {
      while (stream.frames.length > 0) this.arrive(stream, 'store');
    }
  }

  private send(): void {
    if (!this.isOpen) return;
    const taken = this.queue.take();
    if (taken === undefined) return;
    const { sequence, batch } = taken;
    this.stream.frames.push({ epoch: this.epoch, sequence, id: batch });
  }

  private arrive(stream: Stream, verdict: Verdict): void {
    const frame = stream.frames.shift();
    if (frame === undefined) return;
    const answer = this.broker.append(frame, verdict);
    // Refusals need no commit and may overtake what was stored before them.
    if (answer.kind === 'stored') stream.uncommitted.push(answer);
    else stream.answers.push(answer);
  }

  private linger(verdict: Verdict): void {
    const stream = this.lost.find(({ frames }) => frames.length > 0);
    if (stream !== undefined) this.arrive(stream, verdict);
  }

  private answer(): void {
    const answer = this.stream.answers.shift();
    if (answer === undefined) return;
    if ('epoch' in answer) {
      this.isOpen = true;
      this.epoch = answer.epoch;
      const isNewEpoch = this.askedEpoch === 0 || this.fault === 'same-epoch';
      const last = this.fault === 'no-probing' ? Math.max(answer.last, 1) : answer.last;
      this.queue.opened(last, isNewEpoch);
      return;
    }
    const { sequence } = answer;
    if (answer.kind === 'stored') {
      const id = this.queue.stored(sequence);
      if (id === undefined) return;
      this.settle(id, 'stored');
      if (id !== answer.id) throw new Error(`batch ${id} was answered for batch ${answer.id}`);
      return;
    }
    if (answer.kind === 'gap') {
      const { last } = answer;
      this.queue.refused(sequence, { kind: 'gap', lastStored: last });
      return;
    }
    const id = this.queue.refused(sequence, { kind: answer.kind });
    if (id === undefined || answer.kind === 'later') return;
    const isUnknown = answer.kind === 'unclear' || this.queue.mayBeStored(sequence);
    this.settle(id, isUnknown ? 'unknown' : 'failed');
  }

  private settle(id: number, outcome: 'stored' | 'failed' | 'unknown'): void {
    if (this.outcomes.has(id)) throw new Error(`batch ${id} was settled twice`);
    this.outcomes.set(id, outcome);
  }

  private cut(): void {
    this.lost.push(this.stream);
    this.queue.disconnected();
    if (this.fault === 'forgets-numbers') {
      const waiting = this.queue.batches();
      this.queue = new PartitionQueueState<number>();
      for (const id of waiting) this.queue.enqueue(id);
    }
    this.open(this.epoch);
  }

  private open(epoch: number): void {
    this.isOpen = false;
    this.askedEpoch = epoch;
    this.stream = { frames: [], answers: [this.broker.open(epoch)], uncommitted: [] };
  }

  private renewWhenStale(): void {
    if (!this.isOpen || !this.queue.needsNewEpoch || this.queue.owed > 0) return;
    this.queue.disconnected();
    this.lost.push(this.stream);
    this.open(0);
  }
}
