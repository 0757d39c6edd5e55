// Acks that somebody waits for: sent with a confirm id, sent again after a reconnect, until the broker says durable.
//
// Invariants:
// - Everybody who waits is told once.
// - Acks of a frame are joined into ranges; a range that failed fails everybody whose ack is in it.
import type { MillraceError } from '../errors.ts';
import type { AckRangeFields } from '../wire/deliveries.ts';
import { AckGathererState } from './ack-gatherer-state.ts';

export interface AckToConfirm {
  readonly partition: number;
  readonly offset: number;
  readonly verb: number;
  readonly lease: number;
  /** Streams: everything up to the offset. */
  readonly isCumulative: boolean;
}

export interface FailedAck {
  readonly partition: number;
  readonly firstOffset: number;
  readonly lastOffset: number;
  readonly error: MillraceError | undefined;
}

interface Waiter {
  readonly ack: AckToConfirm | undefined;
  resolve(): void;
  reject(error: MillraceError): void;
}

export class AckConfirmations {
  private unsent: Waiter[] = [];
  private readonly sent = new Map<number, Waiter[]>();
  private lastId = 0;

  get hasUnsent(): boolean {
    return this.unsent.length > 0;
  }

  /** Somebody waits. */
  get isOwed(): boolean {
    return this.unsent.length > 0 || this.sent.size > 0;
  }

  /** Undefined: waits for everything that was sent before. */
  wait(ack: AckToConfirm | undefined): Promise<void> {
    return new Promise((resolve, reject) => this.unsent.push({ ack, resolve, reject }));
  }

  /** Resolves when everything sent so far, and with the next frame, is durable, or never will be. */
  flush(): Promise<void> {
    return new Promise((resolve) => {
      this.unsent.push({ ack: undefined, resolve, reject: () => resolve() });
    });
  }

  /** What the next frame carries, of at most so many who wait; an id of 0 when nobody does. */
  take(max: number): { readonly confirmId: number; readonly acks: readonly AckRangeFields[] } {
    if (this.unsent.length === 0) return { confirmId: 0, acks: [] };
    const confirmId = ++this.lastId;
    const waiters = this.unsent.splice(0, max);
    this.sent.set(confirmId, waiters);
    const gathered = new AckGathererState();
    for (const { ack } of waiters) {
      if (ack === undefined) continue;
      const { partition, offset, verb, lease, isCumulative } = ack;
      if (isCumulative) gathered.addCumulative(partition, offset, verb);
      else gathered.add(partition, offset, verb, lease, 0);
    }
    return { confirmId, acks: gathered.take() };
  }

  confirmed(confirmId: number, failures: readonly FailedAck[]): void {
    const waiters = this.sent.get(confirmId) ?? [];
    this.sent.delete(confirmId);
    for (const waiter of waiters) {
      const failure = failures.find((failed) => concerns(failed, waiter.ack));
      if (failure?.error === undefined) waiter.resolve();
      else waiter.reject(failure.error);
    }
  }

  /** A new connection: what was not confirmed on the old one goes first. */
  sendAgain(): void {
    const lost = [...this.sent.values()].flat();
    this.sent.clear();
    this.unsent = [...lost, ...this.unsent];
  }

  fail(error: MillraceError): void {
    this.sendAgain();
    for (const waiter of this.unsent.splice(0)) waiter.reject(error);
  }
}

function concerns(failed: FailedAck, ack: AckToConfirm | undefined): boolean {
  return (
    ack?.partition === failed.partition &&
    ack.offset >= failed.firstOffset &&
    ack.offset <= failed.lastOffset
  );
}
