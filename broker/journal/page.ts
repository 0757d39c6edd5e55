// A page: frames packed into one buffer, written to LMDB under one key and kept as the tail cache's unit.
import {
  frameBytes,
  frameHeaderBytes,
  nextChain,
  pageHeaderBytes,
  sealFrame,
  writePageHeader,
} from './format.ts';

/** One thing to be made durable. Batches also say where they belong, so that they can be found again. */
export interface JournalEntry {
  readonly type: number;
  readonly guardBytes: number;
  readonly bodyBytes: number;
  /** Journal stream (partition id) of a batch; 0 for a control entry, which is not indexed. */
  readonly stream: number;
  readonly firstOffset: number;
  readonly recordCount: number;
  readonly appendTimeMs: number;
  /** Writes guard, then body; called once, synchronously, when the entry is appended. */
  writeTo(page: Buffer, at: number): void;
  /** The commit that holds it is fsynced. */
  durable(): void;
}

export interface ClosedPage {
  readonly bytes: Buffer;
  /** Chain after this page. */
  readonly chain: number;
  /** A buffer that the next page may use. */
  readonly spare: Buffer | undefined;
}

export class OpenPage {
  readonly number: number;
  readonly entries: JournalEntry[] = [];
  /** Where each entry's frame begins. */
  readonly ats: number[] = [];
  private readonly buffer: Buffer;
  private used = pageHeaderBytes;
  private lastCrc = 0;

  constructor(number: number, buffer: Buffer) {
    this.number = number;
    this.buffer = buffer;
  }

  get usedBytes(): number {
    return this.used;
  }

  hasRoomFor(bytes: number): boolean {
    return this.used + bytes <= this.buffer.length;
  }

  add(entry: JournalEntry): void {
    const at = this.used;
    entry.writeTo(this.buffer, at + frameHeaderBytes);
    this.lastCrc = sealFrame(this.buffer, at, entry);
    this.used = at + frameBytes(entry);
    this.entries.push(entry);
    this.ats.push(at);
  }

  /**
   * Writes the page header. Nothing may be added later. A page that is mostly empty is copied out, so that a
   * small commit does not pin a large buffer in the tail cache; its buffer comes back as `spare`.
   */
  close(previousChain: number): ClosedPage {
    const { buffer, used } = this;
    const chain = nextChain(previousChain, this.number, used, this.lastCrc);
    writePageHeader(buffer, this.number, used, chain);
    const filled = buffer.subarray(0, used);
    if (used > buffer.length / 4) return { bytes: filled, chain, spare: undefined };
    const bytes = Buffer.allocUnsafeSlow(used);
    filled.copy(bytes);
    return { bytes, chain, spare: buffer };
  }
}
