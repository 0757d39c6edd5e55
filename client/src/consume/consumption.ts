// Consuming with a handler: ack when it resolves, nack when it rejects, at most so many at a time.
//
// Invariants:
// - No more than `concurrency` handlers run; the next record is taken when one is done.
// - `close` takes no more records, waits for the handlers, then leaves: nothing that was begun is cut off.
import { toMillraceError, type MillraceError } from '../errors.ts';
import type { Consumer, ConsumerOptions } from './consumer.ts';
import type { Message } from './message.ts';

/** Thrown by a handler to say when the record should come again. */
export class NackError extends Error {
  override readonly name = 'NackError';
  /** 0: the subscription's back-off. */
  readonly delayMs: number;

  constructor(message: string, delayMs = 0) {
    super(message);
    this.delayMs = delayMs;
  }
}

export interface ConsumeOptions extends ConsumerOptions {
  /** Handlers at a time. Default 16. */
  readonly concurrency?: number;
  /** Told of what a handler threw; the record is given back all the same. */
  readonly onHandlerError?: (error: unknown, message: Message) => void;
}

export type Handler = (message: Message) => Promise<void> | void;

const concurrencyDefault = 16;

export class Consumption {
  /** Resolves when it has ended by `close`; rejects when the subscription cannot be consumed any more. */
  readonly closed: Promise<void>;
  private readonly consumer: Consumer;
  private readonly handler: Handler;
  private readonly options: ConsumeOptions;
  private running = 0;
  private isClosing = false;
  private failure: MillraceError | undefined;
  private wake: (() => void) | undefined;
  private onClosing: () => void = () => {};

  constructor(consumer: Consumer, handler: Handler, options: ConsumeOptions) {
    this.consumer = consumer;
    this.handler = handler;
    this.options = options;
    this.closed = this.run();
    // Who does not look at `closed` must not be killed by it.
    this.closed.catch(() => {});
  }

  /** Lets running handlers finish, gives the rest back. */
  async close(): Promise<void> {
    this.isClosing = true;
    this.onClosing();
    this.wake?.();
    await this.closed.catch(() => {});
  }

  private async run(): Promise<void> {
    const messages = this.consumer[Symbol.asyncIterator]();
    const concurrency = this.options.concurrency ?? concurrencyDefault;
    const closing = new Promise<'closing'>((resolve) => {
      this.onClosing = () => resolve('closing');
    });
    while (!this.isClosing) {
      if (this.running >= concurrency) {
        await this.change();
        continue;
      }
      const next = await Promise.race([
        messages.next().catch((e: unknown) => this.fail(e)),
        closing,
      ]);
      if (next === 'closing' || next === undefined || next.done === true) break;
      this.start(next.value);
    }
    while (this.running > 0) await this.change();
    await this.consumer.close();
    if (this.failure !== undefined) throw this.failure;
  }

  private start(message: Message): void {
    this.running++;
    void this.handle(message).finally(() => {
      this.running--;
      this.wake?.();
    });
  }

  private async handle(message: Message): Promise<void> {
    try {
      await this.handler(message);
      message.ack();
    } catch (error) {
      this.options.onHandlerError?.(error, message);
      const delayMs = error instanceof NackError ? error.delayMs : 0;
      // A stream has no nack: what is not acked comes again when the consumer is replaced.
      if (message.lease !== 0) message.nack({ delayMs });
    }
  }

  private fail(error: unknown): undefined {
    this.failure = toMillraceError(error);
    return undefined;
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
