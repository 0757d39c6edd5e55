// Acks that somebody waits for: sent with a confirm id, sent again after a reconnect, until the broker says durable.
import type { MillraceError } from '../errors.ts';
import type { AckRangeFields } from '../wire/deliveries.ts';

export interface FailedAck {
  readonly partition: number;
  readonly lastOffset: number;
  readonly error: MillraceError | undefined;
}

interface Waiter {
  /** Undefined: waits for everything that was sent before. */
  readonly ack: AckRangeFields | undefined;
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

  wait(ack: AckRangeFields): Promise<void> {
    return new Promise((resolve, reject) => this.unsent.push({ ack, resolve, reject }));
  }

  /** Resolves, or rejects, when everything settled so far is. */
  flush(): Promise<void> {
    const flushed = new Promise<void>((resolve) => {
      this.unsent.push({ ack: undefined, resolve, reject: () => resolve() });
    });
    return flushed;
  }

  /** What the next frame carries; an id of 0 when nobody waits. */
  take(): { readonly confirmId: number; readonly acks: readonly AckRangeFields[] } {
    if (this.unsent.length === 0) return { confirmId: 0, acks: [] };
    const confirmId = ++this.lastId;
    this.sent.set(confirmId, this.unsent);
    const acks = this.unsent.flatMap(({ ack }) => (ack === undefined ? [] : [ack]));
    this.unsent = [];
    return { confirmId, acks };
  }

  confirmed(confirmId: number, failures: readonly FailedAck[]): void {
    const waiters = this.sent.get(confirmId) ?? [];
    this.sent.delete(confirmId);
    for (const waiter of waiters) {
      const failure = failures.find(
        ({ partition, lastOffset }) =>
          partition === waiter.ack?.partition && lastOffset === waiter.ack.lastOffset,
      );
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
