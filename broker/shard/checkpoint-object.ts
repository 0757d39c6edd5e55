// A shard's checkpoint as objects: what a new broker needs when the disk is lost. The entries are those of the
// journal's own checkpoint.
//
//   shards/<shard>/checkpoints/<epoch>-<number>-<part>.ckpt
//   part   magic `MRCHECK1`, crc u32 of all that follows, then entries: type u8, length u32, payload
//
// Invariants:
// - A checkpoint is complete when all its parts are there; only then does the shard's root name it.
// - Each entry is whole in one part.
import { crc32 } from 'node:zlib';
import { BrokerError } from '../core/errors.ts';
import { objectKey, type ObjectKey } from '../objects/object-store.ts';

/** Names a checkpoint in the root of its shard. */
export interface CheckpointPointer {
  readonly epoch: number;
  readonly number: number;
  readonly parts: number;
  /** When it was begun: nothing in it is older. */
  readonly atMs: number;
}

export interface CheckpointEntry {
  readonly type: number;
  readonly payload: Uint8Array;
}

const magic = 'MRCHECK1';
const headerBytes = 12;
const entryHeaderBytes = 5;
/** Well below what one PUT may have, unless one entry alone is larger. */
const partBytesMax = 16 * 1024 * 1024;

export function checkpointPrefix(shard: string): string {
  return `shards/${shard}/checkpoints/`;
}

export function checkpointKey(
  shard: string,
  { epoch, number }: Pick<CheckpointPointer, 'epoch' | 'number'>,
  part: number,
): ObjectKey {
  return objectKey('shards', shard, 'checkpoints', `${epoch}-${number}-${part}.ckpt`);
}

/** Gathers entries into parts; a part is handed out when it is full. */
export class CheckpointWriter {
  private entries: Uint8Array[] = [];
  private bytes = 0;

  /** Answers a finished part, if this entry filled one. */
  add({ type, payload }: CheckpointEntry): Buffer | undefined {
    const full = this.bytes > 0 && this.bytes + payload.length > partBytesMax;
    const part = full ? this.finish() : undefined;
    const header = Buffer.allocUnsafe(entryHeaderBytes);
    header[0] = type;
    header.writeUInt32LE(payload.length, 1);
    this.entries.push(header, payload);
    this.bytes += entryHeaderBytes + payload.length;
    return part;
  }

  /** The last part; it may be empty. */
  finish(): Buffer {
    const bytes = Buffer.allocUnsafeSlow(headerBytes + this.bytes);
    bytes.write(magic, 0, 'latin1');
    let at = headerBytes;
    for (const entry of this.entries) {
      bytes.set(entry, at);
      at += entry.length;
    }
    bytes.writeUInt32LE(crc32(bytes.subarray(headerBytes)), 8);
    this.entries = [];
    this.bytes = 0;
    return bytes;
  }
}

/** The entries of a part. Throws DATA_LOSS. */
export function readCheckpointPart(key: ObjectKey, bytes: Buffer): CheckpointEntry[] {
  const isWhole =
    bytes.length >= headerBytes &&
    bytes.toString('latin1', 0, magic.length) === magic &&
    crc32(bytes.subarray(headerBytes)) === bytes.readUInt32LE(8);
  if (!isWhole) throw damagedCheckpoint(key);
  const entries: CheckpointEntry[] = [];
  for (let at = headerBytes; at < bytes.length;) {
    const end = at + entryHeaderBytes + (at + 5 <= bytes.length ? bytes.readUInt32LE(at + 1) : 0);
    if (at + entryHeaderBytes > bytes.length || end > bytes.length) throw damagedCheckpoint(key);
    entries.push({
      type: bytes[at] as number,
      payload: bytes.subarray(at + entryHeaderBytes, end),
    });
    at = end;
  }
  return entries;
}

function damagedCheckpoint(key: ObjectKey): BrokerError {
  return new BrokerError(
    'DATA_LOSS',
    `checkpoint object ${key} is damaged; restore it from a backup or an older version`,
    { metadata: { object: key } },
  );
}
