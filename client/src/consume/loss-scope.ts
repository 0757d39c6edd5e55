// What is lost together: the records of one lease of a queue, or all of a stream's partition. Whoever works on one of
// them may ask to be told.
//
// Invariant: a signal is made when it is asked for, so that who does not ask pays nothing.
import { MillraceError } from '../errors.ts';

export class LossScope {
  private controller: AbortController | undefined;
  private error: MillraceError | undefined;

  get signal(): AbortSignal {
    if (this.error !== undefined) return AbortSignal.abort(this.error);
    this.controller ??= new AbortController();
    return this.controller.signal;
  }

  /** The signal aborts with the error; the first one counts. */
  lose(error: MillraceError): void {
    if (this.error !== undefined) return;
    this.error = error;
    this.controller?.abort(error);
  }
}

/** Streams: one scope for as long as a partition is this consumer's and its position is not moved. */
export class PartitionScopes {
  private readonly scopes = new Map<number, LossScope>();

  of(partition: number): LossScope {
    let scope = this.scopes.get(partition);
    if (scope === undefined) this.scopes.set(partition, (scope = new LossScope()));
    return scope;
  }

  lose(isLost: (partition: number) => boolean, error: MillraceError): void {
    for (const [partition, scope] of this.scopes) {
      if (!isLost(partition)) continue;
      this.scopes.delete(partition);
      scope.lose(error);
    }
  }
}

/** It is, or will be, another consumer's, or comes here again. */
export function leaseLost(why: string): MillraceError {
  return new MillraceError('conflict', 'LEASE_LOST', `${why}; the record will be delivered again`);
}
