// The bytes of a segment object. Little-endian.
//
//   blocks   stored batches of one partition, back to back; at most `segmentBlockBytes`, or one larger batch
//   index    a section per partition, sorted by partition; in it a row of 56 bytes per block:
//              0 partition u32   4 batches u32   8 firstOffset f64  16 lastOffset f64
//             24 firstTimeMs f64 32 lastTimeMs f64  40 position u32  44 length u32  48 crc u32  52 zero u32
//   footer   96 bytes: 0 magic `MRSEGMT1`  8 shard (32 bytes, ASCII, zeros behind)  40 tenant u32  44 epoch u32
//            48 number u32  52 partitions u32  56 blocks u32  60 indexAt u32  64 indexBytes u32  68 indexCrc u32
//            72 batches u32  76 zero u32  80 createdAtMs f64  88 zero u32  92 crc u32 of the 92 bytes before
//
// Invariants:
// - The object describes itself: with the footer alone every block is found, its owner known, its bytes checked.
// - A block's CRC covers all its bytes; each batch in it has the CRCs of its stored header besides.
import { crc32 } from 'node:zlib';
import type { Offset, PartitionId, TenantId } from '../core/ids.ts';
import { partitionId, tenantId } from '../core/ids.ts';

export const segmentBlockBytes = 1024 * 1024;
export const segmentIndexRowBytes = 56;
export const segmentFooterBytes = 96;

const magic = 'MRSEGMT1';
const shardBytes = 32;

/** One block: a run of whole batches of one partition. */
export interface SegmentBlock {
  readonly partition: PartitionId;
  readonly batches: number;
  readonly firstOffset: Offset;
  readonly lastOffset: Offset;
  readonly firstTimeMs: number;
  readonly lastTimeMs: number;
  /** Of its first byte in the object. */
  readonly position: number;
  readonly length: number;
  readonly crc: number;
}

export interface SegmentFooter {
  readonly shard: string;
  readonly tenant: TenantId;
  readonly epoch: number;
  readonly number: number;
  readonly partitions: number;
  readonly blocks: number;
  readonly indexAt: number;
  readonly indexBytes: number;
  readonly indexCrc: number;
  readonly batches: number;
  readonly createdAtMs: number;
}

export function encodeBlockRow(block: SegmentBlock, target: Buffer, at: number): void {
  target.writeUInt32LE(block.partition, at);
  target.writeUInt32LE(block.batches, at + 4);
  target.writeDoubleLE(block.firstOffset, at + 8);
  target.writeDoubleLE(block.lastOffset, at + 16);
  target.writeDoubleLE(block.firstTimeMs, at + 24);
  target.writeDoubleLE(block.lastTimeMs, at + 32);
  target.writeUInt32LE(block.position, at + 40);
  target.writeUInt32LE(block.length, at + 44);
  target.writeUInt32LE(block.crc, at + 48);
  target.writeUInt32LE(0, at + 52);
}

export function decodeBlockRow(index: Buffer, row: number): SegmentBlock {
  const at = row * segmentIndexRowBytes;
  return {
    partition: partitionId(index.readUInt32LE(at)),
    batches: index.readUInt32LE(at + 4),
    firstOffset: index.readDoubleLE(at + 8),
    lastOffset: index.readDoubleLE(at + 16),
    firstTimeMs: index.readDoubleLE(at + 24),
    lastTimeMs: index.readDoubleLE(at + 32),
    position: index.readUInt32LE(at + 40),
    length: index.readUInt32LE(at + 44),
    crc: index.readUInt32LE(at + 48),
  };
}

/** Number of the first row whose block ends at or after the offset; the number of rows when none does. */
export function blockRowOf(index: Buffer, offset: Offset): number {
  return firstRowWhere(index, 16, offset);
}

/** Number of the first row whose block has an append time at or after the given one; the number of rows if none. */
export function blockRowOfTime(index: Buffer, timeMs: number): number {
  return firstRowWhere(index, 32, timeMs);
}

export function encodeSegmentFooter(footer: SegmentFooter): Buffer {
  const bytes = Buffer.alloc(segmentFooterBytes);
  bytes.write(magic, 0, 'latin1');
  bytes.write(footer.shard, 8, shardBytes, 'latin1');
  bytes.writeUInt32LE(footer.tenant, 40);
  bytes.writeUInt32LE(footer.epoch, 44);
  bytes.writeUInt32LE(footer.number, 48);
  bytes.writeUInt32LE(footer.partitions, 52);
  bytes.writeUInt32LE(footer.blocks, 56);
  bytes.writeUInt32LE(footer.indexAt, 60);
  bytes.writeUInt32LE(footer.indexBytes, 64);
  bytes.writeUInt32LE(footer.indexCrc, 68);
  bytes.writeUInt32LE(footer.batches, 72);
  bytes.writeDoubleLE(footer.createdAtMs, 80);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 92)), 92);
  return bytes;
}

/** Undefined: not a whole, undamaged footer of this version. */
export function decodeSegmentFooter(bytes: Buffer): SegmentFooter | undefined {
  if (bytes.length !== segmentFooterBytes) return undefined;
  if (bytes.toString('latin1', 0, magic.length) !== magic) return undefined;
  if (crc32(bytes.subarray(0, 92)) !== bytes.readUInt32LE(92)) return undefined;
  const shard = bytes.toString('latin1', 8, 8 + shardBytes);
  const end = shard.indexOf('\0');
  return {
    shard: end < 0 ? shard : shard.slice(0, end),
    tenant: tenantId(bytes.readUInt32LE(40)),
    epoch: bytes.readUInt32LE(44),
    number: bytes.readUInt32LE(48),
    partitions: bytes.readUInt32LE(52),
    blocks: bytes.readUInt32LE(56),
    indexAt: bytes.readUInt32LE(60),
    indexBytes: bytes.readUInt32LE(64),
    indexCrc: bytes.readUInt32LE(68),
    batches: bytes.readUInt32LE(72),
    createdAtMs: bytes.readDoubleLE(80),
  };
}

function firstRowWhere(index: Buffer, columnAt: number, value: number): number {
  let low = 0;
  let high = Math.floor(index.length / segmentIndexRowBytes);
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (index.readDoubleLE(middle * segmentIndexRowBytes + columnAt) < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
