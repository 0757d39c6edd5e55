// Consuming with a handler: ack when it resolves, nack when it rejects, at most so many at a time.
//
// Invariants:
// - No more than `concurrency` handlers run, and no more than `concurrencyPerKey` for records of one key.
// - Streams: one handler at a time per partition, in the order of offsets, and none for a record behind one that has
//   not succeeded: a cumulative ack would say that it had. A failed record is tried again here.
// - No handler begins with a record that is known to be lost.
// - `close` begins no more records, waits for the handlers that run, then leaves: nothing that was begun is cut off
//   before `drainTimeoutMs`. What was not begun goes back uncounted.
import { toMillraceError, type MillraceError } from '../errors.ts';
import { NackError, RejectError, type ConsumeSettings } from './consume-options.ts';
import type { Consumer } from './consumer.ts';
import { KeyGateState } from './key-gate-state.ts';
import type { HeldMessage, Message } from './message.ts';
import { OrderedLanes, type Lane } from './ordered-lanes.ts';

export type Handler<T = Buffer> = (message: Message<T>) => Promise<void> | void;

type Outcome = 'done' | 'again';

export class Consumption<T = Buffer> implements AsyncDisposable {
  /** Resolves when it has ended by `close`; rejects when the subscription cannot be consumed any more. */
  readonly closed: Promise<void>;
  private readonly consumer: Consumer<T>;
  private readonly handler: Handler<T>;
  private readonly settings: ConsumeSettings;
  private readonly lanes = new OrderedLanes<T>();
  private readonly keys: KeyGateState<HeldMessage<T>> | undefined;
  private readonly retryTimers = new Set<NodeJS.Timeout>();
  private running = 0;
  private isClosing = false;
  private failure: MillraceError | undefined;
  private wake: (() => void) | undefined;

  constructor(
    consumer: Consumer<T>,
    handler: Handler<T>,
    settings: ConsumeSettings,
    onClosed: (consumption: Consumption<T>) => void,
  ) {
    this.consumer = consumer;
    this.handler = handler;
    this.settings = settings;
    const { concurrencyPerKey } = settings;
    this.keys = concurrencyPerKey === undefined ? undefined : new KeyGateState(concurrencyPerKey);
    this.closed = this.run().finally(() => onClosed(this));
    // Who does not look at `closed` must not be killed by it.
    this.closed.catch(() => {});
  }

  /** Lets running handlers finish, up to `drainTimeoutMs`, and gives the rest back. */
  async close(): Promise<void> {
    this.stop();
    await this.closed.catch(() => {});
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  private async run(): Promise<void> {
    // One turn later: `closed` is there when `onClosed` and the handlers can be called.
    await Promise.resolve();
    const { concurrency } = this.settings;
    try {
      for await (const message of this.consumer.handedOut()) {
        const isOrdered = isOfStream(message);
        if (isOrdered || this.keys?.enter(message) !== false) this.lanes.add(message, isOrdered);
        this.startMore();
        // What a queue has handed out is at work; of a stream, and of busy keys, the prefetch bounds what waits here.
        while (!isOrdered && this.running >= concurrency && !this.isClosing) {
          await this.change();
        }
      }
    } catch (error) {
      this.failure ??= toMillraceError(error);
    }
    this.stop();
    await this.drained();
    await this.consumer.close();
    if (this.failure !== undefined) throw this.failure;
  }

  private stop(): void {
    if (this.isClosing) return;
    this.isClosing = true;
    for (const timer of this.retryTimers) clearTimeout(timer);
    this.consumer.stop();
    for (const message of [...this.lanes.clear(), ...(this.keys?.clear() ?? [])]) {
      if (!isOfStream(message)) message.giveBack();
    }
    this.wake?.();
  }

  /** Resolves when no handler runs, or the time for that is over. */
  private async drained(): Promise<void> {
    let isLate = false;
    const timer = setTimeout(() => {
      isLate = true;
      this.wake?.();
    }, this.settings.drainTimeoutMs);
    while (this.running > 0 && !isLate) await this.change();
    clearTimeout(timer);
  }

  private startMore(): void {
    while (this.running < this.settings.concurrency && !this.isClosing) {
      const lane = this.lanes.take();
      const message = lane?.messages[0];
      if (lane === undefined || message === undefined) return;
      this.running++;
      void this.work(lane, message).then((outcome) => {
        this.running--;
        if (outcome === 'done') this.done(lane, message);
        this.startMore();
        this.wake?.();
      });
    }
  }

  private done(lane: Lane<T>, message: HeldMessage<T>): void {
    lane.backoff.reset();
    this.lanes.advance(lane);
    const next = isOfStream(message) ? undefined : this.keys?.leave(message);
    if (next !== undefined) this.lanes.add(next, false);
  }

  /** Handles the first message of a lane. Again: the lane rests until then. Never rejects. */
  private async work(lane: Lane<T>, message: HeldMessage<T>): Promise<Outcome> {
    // The lease is over, the partition went elsewhere, or the connection was lost: the record comes again.
    if (message.held.isLost) return 'done';
    const { invalidValues } = this.settings;
    const invalid = invalidValues === 'reject' ? invalidValueOf(message) : undefined;
    if (invalid !== undefined) return this.refuse(lane, message, invalid);
    try {
      await this.handler(message);
      message.ack();
      return 'done';
    } catch (error) {
      this.tell(error, message);
      return this.settle(lane, message, error);
    }
  }

  private settle(lane: Lane<T>, message: HeldMessage<T>, error: unknown): Outcome {
    const delayMs = error instanceof NackError ? error.delayMs : 0;
    if (isOfStream(message)) {
      this.tryAgain(lane, delayMs > 0 ? delayMs : lane.backoff.nextMs());
      return 'again';
    }
    const reason = textOf(error);
    if (error instanceof RejectError) message.reject(reason);
    else message.nack({ delayMs, reason });
    return 'done';
  }

  private refuse(lane: Lane<T>, message: HeldMessage<T>, error: MillraceError): Outcome {
    // The codec cannot decode anything: that is no reason to reject everything.
    if (error.reason !== 'VALUE_INVALID') {
      this.end(error);
      return 'done';
    }
    this.tell(error, message);
    return this.settle(lane, message, new RejectError(textOf(error.cause)));
  }

  private tryAgain(lane: Lane<T>, delayMs: number): void {
    if (this.isClosing) return;
    const timer = setTimeout(() => {
      this.retryTimers.delete(timer);
      this.lanes.again(lane);
      this.startMore();
    }, delayMs);
    this.retryTimers.add(timer);
  }

  private tell(error: unknown, message: Message<unknown>): void {
    try {
      this.settings.onHandlerError(error, message);
    } catch (thrown) {
      this.end(toMillraceError(thrown));
    }
  }

  private end(error: MillraceError): void {
    this.failure ??= error;
    this.stop();
  }

  /** Resolves when a handler is done, `close` was called, or it waited for long enough. */
  private change(): Promise<void> {
    return new Promise((resolve) => {
      this.wake = () => {
        this.wake = undefined;
        resolve();
      };
    });
  }
}

function isOfStream(message: Message<unknown>): boolean {
  return message.attempt === 0;
}

/** Decodes the value, which is kept for the handler; undefined: it could be. */
function invalidValueOf(message: Message<unknown>): MillraceError | undefined {
  try {
    void message.value;
    return undefined;
  } catch (error) {
    return toMillraceError(error);
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
