// A journal entry without a place in a stream: its whole payload is the guard.
import type { JournalEntry } from './page.ts';

export class ControlEntry implements JournalEntry {
  readonly type: number;
  readonly guardBytes: number;
  readonly bodyBytes = 0;
  readonly stream = 0;
  readonly firstOffset = 0;
  readonly recordCount = 0;
  readonly appendTimeMs = 0;
  private readonly payload: Uint8Array;
  private readonly whenDurable: () => void;

  constructor(type: number, payload: Uint8Array, whenDurable: () => void) {
    this.type = type;
    this.payload = payload;
    this.guardBytes = payload.length;
    this.whenDurable = whenDurable;
  }

  writeTo(page: Buffer, at: number): void {
    page.set(this.payload, at);
  }

  durable(): void {
    this.whenDurable();
  }
}
