// The streams that are open now, so that a shutdown can tell each of them and end them.
import type { BrokerError } from '../core/errors.ts';
import type { Gate } from './gate.ts';

export interface Session {
  /** Tells the client that the stream ends after so many ms. */
  announceClosing(graceMs: number): void;
  /** Ends the stream with the error. */
  close(error: BrokerError): void;
}

/** Who wants to know of each stream that is opened. */
export interface StreamSurroundings {
  readonly sessions: Sessions;
  readonly gate: Gate;
}

interface Ending {
  once(event: 'close', listener: () => void): unknown;
}

export class Sessions {
  private readonly open = new Set<Session>();

  get count(): number {
    return this.open.size;
  }

  add(call: Ending, session: Session): void {
    this.open.add(session);
    call.once('close', () => this.open.delete(session));
  }

  announceClosing(graceMs: number): void {
    for (const session of this.open) session.announceClosing(graceMs);
  }

  close(error: BrokerError): void {
    for (const session of this.open) session.close(error);
  }
}
