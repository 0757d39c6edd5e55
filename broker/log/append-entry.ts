// One batch on its way into the journal: the stored header is its guard, the publisher's bytes its body.
import type { JournalEntry } from '../journal/page.ts';
import {
  encodeStoredHeader,
  storedHeaderBytes,
  type StoredHeader,
} from '../batch/stored-header.ts';
import { entryTypes } from '../core/entry-types.ts';

/** Called in the order of the appends to the partition. `duplicate`: it was stored by an earlier append. */
export type WhenDurable = (baseOffset: number, recordCount: number, duplicate: boolean) => void;

export class AppendEntry implements JournalEntry {
  readonly type = entryTypes.batch;
  readonly guardBytes = storedHeaderBytes;
  readonly bodyBytes: number;
  readonly stream: number;
  readonly firstOffset: number;
  readonly recordCount: number;
  readonly appendTimeMs: number;
  private readonly header: StoredHeader;
  private readonly body: Uint8Array;
  private readonly whenDurable: (entry: AppendEntry) => void;

  constructor(header: StoredHeader, body: Uint8Array, whenDurable: (entry: AppendEntry) => void) {
    this.bodyBytes = body.length;
    this.stream = header.partitionId;
    this.firstOffset = header.baseOffset;
    this.recordCount = header.recordCount;
    this.appendTimeMs = header.appendTimeMs;
    this.header = header;
    this.body = body;
    this.whenDurable = whenDurable;
  }

  writeTo(page: Buffer, at: number): void {
    encodeStoredHeader(this.header, page, at);
    page.set(this.body, at + storedHeaderBytes);
  }

  durable(): void {
    this.whenDurable(this);
  }
}
