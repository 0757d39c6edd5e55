// Checks one segment object by itself: footer, index, every block, every batch, and that it is what its name says.
//
// Invariant: memory is bounded by the ranges that are read, a few MiB, whatever the object's size.
import { crc32 } from 'node:zlib';
import { bodyIsIntact, decodeStoredHeader, storedHeaderBytes } from '../batch/stored-header.ts';
import type { TierObject } from './object-names.ts';
import {
  decodeBlockRow,
  decodeSegmentFooter,
  segmentFooterBytes,
  segmentIndexRowBytes,
  type SegmentBlock,
  type SegmentFooter,
} from './segment-format.ts';

/** Reads bytes of the object; fewer when it ends before. */
export type ReadRange = (position: number, length: number) => Promise<Buffer>;

export interface SegmentFault {
  readonly what: string;
  /** The block that is damaged; undefined: the object as a whole. */
  readonly block: SegmentBlock | undefined;
}

export interface CheckedSegment {
  readonly faults: readonly SegmentFault[];
  /** Empty when the index cannot be read. */
  readonly blocks: readonly SegmentBlock[];
}

const rangeBytes = 4 * 1024 * 1024;

/** `isFast`: footer and index only. Throws what `read` throws. */
export async function checkSegment(
  object: TierObject,
  objectBytes: number,
  read: ReadRange,
  isFast: boolean,
): Promise<CheckedSegment> {
  const whole = (what: string): CheckedSegment => ({
    faults: [{ what, block: undefined }],
    blocks: [],
  });
  if (objectBytes < segmentFooterBytes) return whole(`has ${objectBytes} bytes only`);
  const footer = decodeSegmentFooter(
    await read(objectBytes - segmentFooterBytes, segmentFooterBytes),
  );
  if (footer === undefined) return whole('has no readable footer');
  const wrong = identityFault(object, footer);
  if (wrong !== undefined) return whole(wrong);
  if (footer.indexAt + footer.indexBytes + segmentFooterBytes !== objectBytes) {
    return whole('is not as long as its footer says');
  }
  const index = await read(footer.indexAt, footer.indexBytes);
  if (index.length !== footer.indexBytes || crc32(index) !== footer.indexCrc) {
    return whole('has a damaged index');
  }
  const blocks = Array.from({ length: index.length / segmentIndexRowBytes }, (_, i) =>
    decodeBlockRow(index, i),
  );
  const faults = isFast ? [] : await checkBlocks(blocks, read);
  return { faults, blocks };
}

function identityFault(object: TierObject, footer: SegmentFooter): string | undefined {
  const { tenant, shard, epoch, number } = object;
  const isSame =
    footer.tenant === tenant &&
    footer.shard === shard &&
    footer.epoch === epoch &&
    footer.number === number;
  if (isSame) return undefined;
  return `holds segment ${footer.shard}-${footer.epoch}-${footer.number} of tenant ${footer.tenant}`;
}

async function checkBlocks(
  blocks: readonly SegmentBlock[],
  read: ReadRange,
): Promise<SegmentFault[]> {
  const faults: SegmentFault[] = [];
  for (let from = 0; from < blocks.length;) {
    const first = blocks[from] as SegmentBlock;
    let to = from;
    let bytes = 0;
    while (to < blocks.length && (to === from || bytes < rangeBytes)) {
      bytes += blocks[to++]?.length ?? 0;
    }
    const range = await read(first.position, bytes);
    for (const block of blocks.slice(from, to)) {
      const at = block.position - first.position;
      const what = blockFault(block, range.subarray(at, at + block.length));
      if (what !== undefined) faults.push({ what, block });
    }
    from = to;
  }
  return faults;
}

function blockFault(block: SegmentBlock, bytes: Buffer): string | undefined {
  if (bytes.length !== block.length) return 'ends within a block';
  if (crc32(bytes) !== block.crc) return 'has a damaged block';
  let next = block.firstOffset;
  let batches = 0;
  for (let at = 0; at < bytes.length; batches++) {
    const header = decodeStoredHeader(bytes, at);
    if (header === undefined) return 'has a damaged batch header';
    if (header.partitionId !== block.partition || header.baseOffset !== next) {
      return `has offset ${header.baseOffset} of partition id ${header.partitionId} where offset ${next} should be`;
    }
    if (!bodyIsIntact(header, bytes, at + storedHeaderBytes)) return 'has a damaged batch';
    next = header.baseOffset + header.recordCount;
    at += storedHeaderBytes + header.bodyBytes;
  }
  const isAsSaid = next === block.lastOffset + 1 && batches === block.batches;
  return isAsSaid ? undefined : 'has other batches than its index says';
}
