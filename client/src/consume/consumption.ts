// Consuming with a handler: ack when it resolves, nack when it rejects, at most so many at a time.
//
// Invariants:
// - No more than `concurrency` handlers run.
// - Streams: one handler at a time per partition, in the order of offsets, and none for a record behind one that has
//   not succeeded: a cumulative ack would say that it had. A failed record is tried again here.
// - `close` begins no more records, waits for the handlers that run, then leaves: nothing that was begun is cut off.
import { integerWithin } from '../checked-number.ts';
import { toMillraceError, type MillraceError } from '../errors.ts';
import type { Consumer } from './consumer.ts';
import type { HeldMessage, Message } from './message.ts';
import { checkedDurationMs, type ConsumerOptions } from './options.ts';
import { OrderedLanes, type Lane } from './ordered-lanes.ts';

/** Thrown by a handler to say when the record should come again. */
export class NackError extends Error {
  override readonly name = 'NackError';
  /** Whole ms, at most 12 h. 0: the subscription's back-off; for streams 100 ms to 5 s. */
  readonly delayMs: number;

  /** Throws ARGUMENT_INVALID. */
  constructor(message: string, delayMs = 0) {
    super(message);
    this.delayMs = checkedDurationMs('delayMs', delayMs);
  }
}

/** Thrown by a handler for a record that will never succeed: it goes to the dead-letter topic. Not for streams. */
export class RejectError extends Error {
  override readonly name = 'RejectError';
}

export interface ConsumeOptions extends ConsumerOptions {
  /** Handlers at a time, 1 to 100,000. Default 16. */
  readonly concurrency?: number;
  /**
   * Told of what a handler threw; the record is given back, or tried again, all the same. When it throws itself, the
   * consumption ends with that.
   */
  readonly onHandlerError?: (error: unknown, message: Message) => void;
}

export type Handler = (message: Message) => Promise<void> | void;

const concurrencyDefault = 16;

/** Handlers at a time. Throws ARGUMENT_INVALID. */
export function concurrencyOf({ concurrency }: ConsumeOptions): number {
  return integerWithin('concurrency', concurrency ?? concurrencyDefault, 1, 100_000);
}

export class Consumption implements AsyncDisposable {
  /** Resolves when it has ended by `close`; rejects when the subscription cannot be consumed any more. */
  readonly closed: Promise<void>;
  private readonly consumer: Consumer;
  private readonly handler: Handler;
  private readonly onHandlerError: ((error: unknown, message: Message) => void) | undefined;
  private readonly concurrency: number;
  private readonly lanes = new OrderedLanes();
  private readonly retryTimers = new Set<NodeJS.Timeout>();
  private running = 0;
  private isClosing = false;
  private failure: MillraceError | undefined;
  private wake: (() => void) | undefined;

  constructor(
    consumer: Consumer,
    handler: Handler,
    options: ConsumeOptions,
    onClosed: (consumption: Consumption) => void,
  ) {
    this.consumer = consumer;
    this.handler = handler;
    this.onHandlerError = options.onHandlerError;
    this.concurrency = concurrencyOf(options);
    this.closed = this.run().finally(() => onClosed(this));
    // Who does not look at `closed` must not be killed by it.
    this.closed.catch(() => {});
  }

  /** Lets running handlers finish, gives the rest back. */
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
    try {
      for await (const message of this.consumer.handedOut()) {
        const isOrdered = message.attempt === 0;
        this.lanes.add(message, isOrdered);
        this.startMore();
        // What a queue has handed out is at work; of a stream, the prefetch bounds what waits in lanes.
        while (!isOrdered && this.running >= this.concurrency && !this.isClosing) {
          await this.change();
        }
      }
    } catch (error) {
      this.failure ??= toMillraceError(error);
    }
    this.stop();
    while (this.running > 0) await this.change();
    await this.consumer.close();
    if (this.failure !== undefined) throw this.failure;
  }

  private stop(): void {
    if (this.isClosing) return;
    this.isClosing = true;
    this.lanes.clear();
    for (const timer of this.retryTimers) clearTimeout(timer);
    this.consumer.stop();
    this.wake?.();
  }

  private startMore(): void {
    while (this.running < this.concurrency && !this.isClosing) {
      const lane = this.lanes.take();
      if (lane === undefined) return;
      this.running++;
      void this.work(lane).finally(() => {
        this.running--;
        this.startMore();
        this.wake?.();
      });
    }
  }

  /** Handles the first message of a lane. Never rejects. */
  private async work(lane: Lane): Promise<void> {
    const [message] = lane.messages;
    if (message === undefined) return;
    const isOrdered = message.attempt === 0;
    // The partition went elsewhere, or the connection was lost: the record comes again.
    const isOthers = isOrdered && message.held.isLost;
    if (!isOthers && !(await this.succeeds(message, lane))) return;
    lane.backoff.reset();
    this.lanes.advance(lane);
  }

  /** False: the lane rests until the message is tried again. */
  private async succeeds(message: HeldMessage, lane: Lane): Promise<boolean> {
    try {
      await this.handler(message);
      message.ack();
      return true;
    } catch (error) {
      this.tell(error, message);
      const delayMs = error instanceof NackError ? error.delayMs : 0;
      if (message.attempt !== 0) {
        const reason = error instanceof Error ? error.message : String(error);
        if (error instanceof RejectError) message.reject(reason);
        else message.nack({ delayMs, reason });
        return true;
      }
      this.tryAgain(lane, delayMs > 0 ? delayMs : lane.backoff.nextMs());
      return false;
    }
  }

  private tryAgain(lane: Lane, delayMs: number): void {
    if (this.isClosing) return;
    const timer = setTimeout(() => {
      this.retryTimers.delete(timer);
      this.lanes.again(lane);
      this.startMore();
    }, delayMs);
    this.retryTimers.add(timer);
  }

  private tell(error: unknown, message: Message): void {
    try {
      this.onHandlerError?.(error, message);
    } catch (thrown) {
      this.failure ??= toMillraceError(thrown);
      this.stop();
    }
  }

  /** Resolves when a handler is done, or `close` was called. */
  private change(): Promise<void> {
    return new Promise((resolve) => {
      this.wake = () => {
        this.wake = undefined;
        resolve();
      };
    });
  }
}
