// The port through which a journal reaches its disk. Adapters: LMDB (storage-lmdb.ts), memory (tests).

export interface Row {
  readonly key: Buffer;
  /** Must not change until the write that holds it has settled. */
  readonly value: Buffer;
}

/** One generation: rows that are only ever added. */
export interface GenerationFile {
  /** For messages to people. */
  readonly name: string;
  /** All rows or none; durable when it resolves. A rejection means: nothing more may be confirmed. */
  write(rows: readonly Row[]): Promise<void>;
  /**
   * A copy of the value, read now; may block on the disk unless `prefetch` was awaited. `allocate` gives the buffer
   * for the copy, of at least so many bytes; the answer is a view of it.
   */
  read(key: Buffer, allocate?: (bytes: number) => Buffer): Buffer | undefined;
  /** Brings values into memory off the event loop. */
  prefetch(keys: readonly Buffer[]): Promise<void>;
  /** Numbers of the keys of one kind, ascending. */
  numbers(kind: number): number[];
  /** Bytes of the file on disk. */
  bytes(): number;
  close(): Promise<void>;
}

export interface JournalStorage {
  /** A new empty generation, durable as a name when it resolves. */
  create(name: string): Promise<GenerationFile>;
  /** Throws DATA_LOSS when the file is missing or shorter than it says. */
  open(name: string): Promise<GenerationFile>;
  remove(name: string): Promise<void>;
  /** Every generation file there is, listed or not. */
  existing(): Promise<readonly string[]>;
  /** The list of live generations; undefined when none was ever written. */
  readList(): Promise<Buffer | undefined>;
  /** Replaced as a whole and durable when it resolves. */
  writeList(bytes: Buffer): Promise<void>;
}
