// Buffers of pages that left a cache and wait to be used again: fresh ones cost page faults and collection.
import { limits } from '../core/limits.ts';

/** Two commits' worth. */
const spareMax = (2 * limits.commitBytesMax) / limits.pageBytes;

export class PageBuffers {
  private readonly spare: Buffer[] = [];

  /** A buffer for so many bytes; of the usual size even for fewer, so that it can be used again. */
  take(bytes: number): Buffer {
    if (bytes > limits.pageBytes) return Buffer.allocUnsafeSlow(bytes);
    return this.spare.pop() ?? Buffer.allocUnsafeSlow(limits.pageBytes);
  }

  /** Keeps the whole buffer behind a page's bytes, if it is one of the usual size. */
  give(bytes: Buffer): void {
    if (bytes.buffer.byteLength !== limits.pageBytes) return;
    if (this.spare.length < spareMax) this.spare.push(Buffer.from(bytes.buffer));
  }
}
