// Lays stored batches out as one segment object. The sizes are known before: every byte is copied once, to its place,
// whatever order the partitions' batches come in.
//
// Invariants:
// - Batches of one partition come in the order of their offsets.
// - What was announced for a partition is exactly what came: anything else is a bug, found before anything is stored.
import { crc32 } from 'node:zlib';
import { storedHeaderBytes, type StoredHeader } from '../batch/stored-header.ts';
import { assert } from '../core/assert.ts';
import type { PartitionId, TenantId } from '../core/ids.ts';
import type { ObjectId } from './object-names.ts';
import {
  encodeBlockRow,
  encodeSegmentFooter,
  segmentBlockBytes,
  segmentFooterBytes,
  segmentIndexRowBytes,
  type SegmentBlock,
} from './segment-format.ts';
import type { SegmentRow } from './segment-rows.ts';

/** How much of a partition an object takes. */
export interface SegmentPart {
  readonly partition: PartitionId;
  /** Stored batches with their headers. */
  readonly bytes: number;
}

export interface SegmentIdentity extends ObjectId {
  readonly shard: string;
  readonly tenant: TenantId;
  readonly createdAtMs: number;
}

/** A stretch of the object with its CRC-32: together they cover every byte. */
export interface SegmentCheck {
  readonly position: number;
  readonly length: number;
  readonly crc: number;
}

export interface BuiltSegment {
  /** Nothing else stands in its ArrayBuffer, which may be handed over. */
  readonly bytes: Buffer;
  /** What must read back, in the order of the object's bytes. */
  readonly checks: readonly SegmentCheck[];
  /** By partition, ascending. */
  readonly rows: ReadonlyMap<PartitionId, SegmentRow>;
}

/** Where one partition's blocks stand. */
interface Region {
  readonly partition: PartitionId;
  readonly end: number;
  at: number;
  readonly blocks: SegmentBlock[];
  open: OpenBlock | undefined;
}

interface OpenBlock {
  readonly position: number;
  readonly firstOffset: number;
  readonly firstTimeMs: number;
  lastOffset: number;
  lastTimeMs: number;
  batches: number;
}

export class SegmentBuilder {
  private readonly identity: SegmentIdentity;
  /** Body, then room for index and footer. */
  private readonly buffer: Buffer;
  private readonly bodyBytes: number;
  private readonly regions = new Map<PartitionId, Region>();
  private readonly blockBytes: number;
  private batches = 0;

  constructor(
    identity: SegmentIdentity,
    parts: readonly SegmentPart[],
    blockBytes: number = segmentBlockBytes,
  ) {
    this.identity = identity;
    this.blockBytes = blockBytes;
    let at = 0;
    let blocksMax = 0;
    for (const { partition, bytes } of [...parts].sort((a, b) => a.partition - b.partition)) {
      this.regions.set(partition, { partition, at, end: at + bytes, blocks: [], open: undefined });
      at += bytes;
      // A block is closed when the next batch would outgrow it, so two neighbours are larger than one block.
      blocksMax += 1 + Math.ceil((2 * bytes) / blockBytes);
    }
    this.bodyBytes = at;
    this.buffer = Buffer.allocUnsafeSlow(
      at + blocksMax * segmentIndexRowBytes + segmentFooterBytes,
    );
  }

  /** `stored`: header and body. Copied. */
  add(header: StoredHeader, stored: Buffer): void {
    const region = this.regions.get(header.partitionId as PartitionId);
    assert(region !== undefined, `partition id ${header.partitionId} was announced`);
    assert(stored.length === storedHeaderBytes + header.bodyBytes, 'a whole batch is added');
    assert(region.at + stored.length <= region.end, 'a partition has no more than was announced');
    const { open } = region;
    if (open !== undefined && region.at + stored.length - open.position > this.blockBytes) {
      this.closeBlock(region, open);
    }
    stored.copy(this.buffer, region.at);
    const lastOffset = header.baseOffset + header.recordCount - 1;
    region.open ??= {
      position: region.at,
      firstOffset: header.baseOffset,
      firstTimeMs: header.appendTimeMs,
      lastOffset,
      lastTimeMs: header.appendTimeMs,
      batches: 0,
    };
    region.open.lastOffset = lastOffset;
    region.open.lastTimeMs = header.appendTimeMs;
    region.open.batches++;
    region.at += stored.length;
    this.batches++;
  }

  /** The object and the manifest rows that refer to it. */
  finish(): BuiltSegment {
    const { identity, buffer, bodyBytes } = this;
    const rows = new Map<PartitionId, SegmentRow>();
    const checks: SegmentCheck[] = [];
    let at = bodyBytes;
    for (const region of this.regions.values()) {
      if (region.open !== undefined) this.closeBlock(region, region.open);
      assert(region.at === region.end, `partition id ${region.partition} is as long as announced`);
      const section = encodeSection(region.blocks);
      section.copy(buffer, at);
      rows.set(region.partition, rowOf(region, identity, at, section));
      checks.push(...region.blocks);
      at += section.length;
    }
    const index = buffer.subarray(bodyBytes, at);
    const footer = encodeSegmentFooter({
      ...identity,
      partitions: rows.size,
      blocks: index.length / segmentIndexRowBytes,
      indexAt: bodyBytes,
      indexBytes: index.length,
      indexCrc: crc32(index),
      batches: this.batches,
    });
    footer.copy(buffer, at);
    const tail = buffer.subarray(bodyBytes, at + segmentFooterBytes);
    checks.push({ position: bodyBytes, length: tail.length, crc: crc32(tail) });
    return { bytes: buffer.subarray(0, at + segmentFooterBytes), checks, rows };
  }

  private closeBlock(region: Region, open: OpenBlock): void {
    const bytes = this.buffer.subarray(open.position, region.at);
    region.blocks.push({
      partition: region.partition,
      ...open,
      length: bytes.length,
      crc: crc32(bytes),
    });
    region.open = undefined;
  }
}

function encodeSection(blocks: readonly SegmentBlock[]): Buffer {
  const bytes = Buffer.alloc(blocks.length * segmentIndexRowBytes);
  for (const [i, block] of blocks.entries()) encodeBlockRow(block, bytes, i * segmentIndexRowBytes);
  return bytes;
}

function rowOf(
  region: Region,
  { epoch, number }: ObjectId,
  indexAt: number,
  section: Buffer,
): SegmentRow {
  const first = region.blocks[0];
  const last = region.blocks.at(-1);
  assert(first !== undefined && last !== undefined, 'a partition in an object has a block');
  return {
    firstOffset: first.firstOffset,
    lastOffset: last.lastOffset,
    firstTimeMs: first.firstTimeMs,
    lastTimeMs: last.lastTimeMs,
    object: { epoch, number },
    bytes: region.end - first.position,
    indexAt,
    indexBytes: section.length,
    indexCrc: crc32(section),
  };
}
