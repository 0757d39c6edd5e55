// What consuming with a handler can be told, and what a handler can throw.
import { integerWithin, numberWithin } from '../checked-number.ts';
import type { Message } from './message.ts';
import { checkedDurationMs, type ConsumerOptions } from './options.ts';

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
   * Queues: handlers at a time for records of one key, here, 1 to 100,000; the others of the key wait, in the order in
   * which they came. Default: as many as `concurrency`. Other consumers may have records of the key meanwhile, and what
   * failed comes again behind others: for order per key over all consumers use a keyed queue.
   */
  readonly concurrencyPerKey?: number;
  /**
   * What becomes of a record whose value the codec cannot decode. `reject`: the handler does not see it; queues give it
   * to the dead-letter topic with what was wrong, streams try it again, as if the handler had failed. `handle`: the
   * handler gets it, and `message.value` throws VALUE_INVALID. Default `reject`.
   */
  readonly invalidValues?: 'reject' | 'handle';
  /**
   * How long `close()` waits for handlers that run, ms. After it their `message.signal` aborts, and what they have not
   * settled comes again, here or elsewhere. Default 20,000, so that a pod ends within its 30 s.
   */
  readonly drainTimeoutMs?: number;
  /**
   * Told of what a handler threw, and of values that cannot be decoded; the record is given back, rejected or tried
   * again all the same. When it throws itself, the consumption ends with that.
   */
  readonly onHandlerError?: (error: unknown, message: Message<unknown>) => void;
}

export interface ConsumeSettings {
  readonly concurrency: number;
  /** Undefined: no limit of its own. */
  readonly concurrencyPerKey: number | undefined;
  readonly invalidValues: 'reject' | 'handle';
  readonly drainTimeoutMs: number;
  readonly onHandlerError: (error: unknown, message: Message<unknown>) => void;
}

const concurrencyMax = 100_000;

/** The options with defaults for what is absent. Throws ARGUMENT_INVALID. */
export function consumeSettings(options: ConsumeOptions): ConsumeSettings {
  const { concurrency = 16, concurrencyPerKey, drainTimeoutMs = 20_000 } = options;
  return {
    concurrency: integerWithin('concurrency', concurrency, 1, concurrencyMax),
    concurrencyPerKey:
      concurrencyPerKey === undefined
        ? undefined
        : integerWithin('concurrencyPerKey', concurrencyPerKey, 1, concurrencyMax),
    invalidValues: options.invalidValues ?? 'reject',
    drainTimeoutMs: numberWithin('drainTimeoutMs', drainTimeoutMs, 0, 2 ** 31 - 1),
    onHandlerError: options.onHandlerError ?? ignore,
  };
}

function ignore(): void {
  // The record comes again: an application that wants to know of it says so.
}
