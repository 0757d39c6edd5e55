// Keeps publishers off a nearly full disk, so that acks and control entries still find room, and a failed commit,
// which ends the process, stays the exception.
//
// Invariant: what was admitted since the last look at the file system counts as used.
import { statfs } from 'node:fs/promises';
import { BrokerError } from '../core/errors.ts';
import { limits } from '../core/limits.ts';

export interface VolumeFigures {
  readonly totalBytes: number;
  readonly freeBytes: number;
}

/** Bytes that publishing leaves free on a volume of the given size. */
export function publishReserveBytes(totalBytes: number): number {
  const share = totalBytes * limits.diskReserveShare;
  return Math.min(Math.max(share, limits.diskReserveBytesMin), limits.diskReserveBytesMax);
}

export class DiskGuard {
  private readonly look: () => Promise<VolumeFigures>;
  private room = Infinity;
  private reserve = 0;
  private free = Infinity;
  private total = 0;
  /** Bytes of objects that are being written to this volume. */
  private storePending = 0;
  private offloadFailure = '';

  constructor(look: () => Promise<VolumeFigures>) {
    this.look = look;
  }

  /**
   * `pendingBytes`: admitted and not yet written, so not yet missing from the free space. `offloadFailure`: why
   * records do not leave the disk; empty when they do.
   */
  async refresh(pendingBytes: number, offloadFailure = ''): Promise<void> {
    this.offloadFailure = offloadFailure;
    const { totalBytes, freeBytes } = await this.look();
    this.reserve = publishReserveBytes(totalBytes);
    this.free = freeBytes;
    this.total = totalBytes;
    this.room = freeBytes - this.reserve - pendingBytes - this.storePending;
  }

  get freeBytes(): number {
    return this.free;
  }

  get totalBytes(): number {
    return this.total;
  }

  /** So little room is left that what need not be on the disk has to go: publishing will soon be refused. */
  get isTight(): boolean {
    return this.free < 2 * this.reserve;
  }

  /** What an object store on the same volume may take: part of the reserve, so that the journal can be freed. */
  get storeRoomBytes(): number {
    return Math.max(0, this.room + this.reserve / 2);
  }

  /**
   * Takes room for an object that is written to this volume. Answers how to say that it is written (or given up), or
   * undefined when there is no room: then nothing may be written, or the journal's next commit fails.
   */
  takeStoreRoom(bytes: number): (() => void) | undefined {
    if (bytes > this.storeRoomBytes) return undefined;
    this.room -= bytes;
    this.storePending += bytes;
    return () => {
      this.storePending -= bytes;
    };
  }

  get isFull(): boolean {
    return this.room <= 0;
  }

  /** Takes room for a batch, or throws DISK_FULL. */
  admit(bytes: number): void {
    if (bytes > this.room) {
      const why =
        this.offloadFailure === ''
          ? 'free some by shorter retention or by acking backlogs, or enlarge the volume'
          : `records cannot leave it, because the object store fails: ${this.offloadFailure}`;
      throw new BrokerError(
        'DISK_FULL',
        `the data volume has less than ${this.reserve} bytes to spare for new records; ${why}`,
        {
          retryAfterMs: 1_000,
          metadata: { free_bytes: String(this.free), reserve_bytes: String(this.reserve) },
        },
      );
    }
    this.room -= bytes;
  }
}

/** Looks at the file system of a directory. */
export async function volumeOf(directory: string): Promise<VolumeFigures> {
  const { bsize, blocks, bavail } = await statfs(directory);
  return { totalBytes: bsize * blocks, freeBytes: bsize * bavail };
}
