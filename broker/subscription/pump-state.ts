// Whether a dispatcher may hand out records now.
//
//   ready ──loads records──▶ loading ──loaded, or not──▶ ready
//     │ └──handed out much──▶ yielding ──next turn of the event loop──▶ ready
//     └──close, from anywhere──▶ closed
//
// Invariant: what was begun in one state changes nothing once another has been entered.
export class PumpState {
  private readonly pump: () => void;
  private state: 'ready' | 'loading' | 'yielding' | 'closed' = 'ready';

  /** `pump` is called each time that it is ready again. */
  constructor(pump: () => void) {
    this.pump = pump;
  }

  get isReady(): boolean {
    return this.state === 'ready';
  }

  get isClosed(): boolean {
    return this.state === 'closed';
  }

  /** Until the promise, which never rejects, is resolved. */
  waitFor(loading: Promise<void>): void {
    this.state = 'loading';
    void loading.then(() => this.goOn('loading'));
  }

  /** Others have a turn of the event loop first. */
  yieldTurn(): void {
    this.state = 'yielding';
    setImmediate(() => this.goOn('yielding'));
  }

  close(): void {
    this.state = 'closed';
  }

  private goOn(from: 'loading' | 'yielding'): void {
    if (this.state !== from) return;
    this.state = 'ready';
    this.pump();
  }
}
