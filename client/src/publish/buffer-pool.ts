// Buffers of full batches, used again once the broker has answered: at 200 MB/s, allocating them anew makes V8 collect
// garbage for a quarter of the client's time.
//
// Invariant: a buffer comes back only when nothing can read it any more: its one send was answered.

/** What is kept, at most: as much as a stream may have in flight. */
const keptBytesMax = 8 * 1024 * 1024;

export class BufferPool {
  private readonly free = new Map<number, Buffer[]>();
  private keptBytes = 0;

  /** A buffer of exactly so many bytes, with any content. */
  take(bytes: number): Buffer {
    const buffer = this.free.get(bytes)?.pop();
    // Not from Node's own pool: a batch would pin it until the broker answered.
    if (buffer === undefined) return Buffer.allocUnsafeSlow(bytes);
    this.keptBytes -= bytes;
    return buffer;
  }

  give(buffer: Buffer): void {
    const bytes = buffer.length;
    if (this.keptBytes + bytes > keptBytesMax) return;
    this.keptBytes += bytes;
    const free = this.free.get(bytes);
    if (free === undefined) this.free.set(bytes, [buffer]);
    else free.push(buffer);
  }
}
