// The bytes of a journal: keys, pages, frames, generation headers and seals. Little-endian unless said.
//
//   key      kind u8, number u64 big-endian: LMDB's order is header < pages < index pages < seal
//   page     number u64, usedBytes u32, chain u32, then frames back to back
//   frame    crc u32, length u32 (whole frame), guardBytes u32, type u8, 3 zero bytes, guard, body
//
// Invariants:
// - `crc` covers the frame from `length` to the end of the guard. The body is guarded by a CRC inside the guard
//   (batches: the stored header), so its bytes are summed once, when they are admitted.
// - `chain` is the CRC-32 of (number, usedBytes, last frame's crc) seeded with the previous page's chain: a page
//   that was lost, swapped or taken from another journal breaks it.
import { crc32 } from 'node:zlib';
import { assert } from '../core/assert.ts';
import { BrokerError } from '../core/errors.ts';

export const keyKinds = { header: 0, page: 1, index: 2, seal: 3 } as const;
export type KeyKind = (typeof keyKinds)[keyof typeof keyKinds];

export const keyBytes = 9;
export const pageHeaderBytes = 16;
export const frameHeaderBytes = 16;

/** Frame types below this one belong to the journal itself; owners of a journal use the ones from here on. */
export const ownerTypesFrom = 16;
export const journalTypes = { checkpointComplete: 1, generationDropped: 2, barrier: 3 } as const;

const twoTo32 = 2 ** 32;

export function encodeKey(kind: KeyKind, number: number): Buffer {
  const key = Buffer.allocUnsafe(keyBytes);
  key[0] = kind;
  key.writeUInt32BE(Math.floor(number / twoTo32), 1);
  key.writeUInt32BE(number % twoTo32, 5);
  return key;
}

export function decodeKeyNumber(key: Uint8Array): number {
  const bytes = Buffer.from(key.buffer, key.byteOffset, key.length);
  return bytes.readUInt32BE(1) * twoTo32 + bytes.readUInt32BE(5);
}

export function readU64(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at + 4) * twoTo32 + bytes.readUInt32LE(at);
}

export function writeU64(bytes: Buffer, at: number, value: number): void {
  bytes.writeUInt32LE(value % twoTo32, at);
  bytes.writeUInt32LE(Math.floor(value / twoTo32), at + 4);
}

export interface FrameShape {
  readonly type: number;
  readonly guardBytes: number;
  readonly bodyBytes: number;
}

export function frameBytes(shape: FrameShape): number {
  return frameHeaderBytes + shape.guardBytes + shape.bodyBytes;
}

/** Completes a frame whose guard and body already stand at `at + frameHeaderBytes`. Answers its CRC. */
export function sealFrame(page: Buffer, at: number, shape: FrameShape): number {
  page.writeUInt32LE(frameBytes(shape), at + 4);
  page.writeUInt32LE(shape.guardBytes, at + 8);
  page.writeUInt32LE(shape.type, at + 12);
  const crc = crc32(page.subarray(at + 4, at + frameHeaderBytes + shape.guardBytes));
  page.writeUInt32LE(crc, at);
  return crc;
}

export interface Frame {
  readonly type: number;
  readonly at: number;
  readonly guardAt: number;
  readonly bodyAt: number;
  /** One past the frame's last byte. */
  readonly end: number;
  readonly crc: number;
}

/** The frame at `at`, or undefined when its CRC or lengths are wrong: damage. */
export function readFrame(page: Buffer, at: number): Frame | undefined {
  if (at + frameHeaderBytes > page.length) return undefined;
  const length = page.readUInt32LE(at + 4);
  const guardBytes = page.readUInt32LE(at + 8);
  const end = at + length;
  const guardAt = at + frameHeaderBytes;
  const bodyAt = guardAt + guardBytes;
  if (end > page.length || bodyAt > end) return undefined;
  const crc = page.readUInt32LE(at);
  if (crc32(page.subarray(at + 4, bodyAt)) !== crc) return undefined;
  return { type: page[at + 12] as number, at, guardAt, bodyAt, end, crc };
}

export function nextChain(chain: number, number: number, usedBytes: number, lastCrc: number) {
  const link = Buffer.allocUnsafe(16);
  writeU64(link, 0, number);
  link.writeUInt32LE(usedBytes, 8);
  link.writeUInt32LE(lastCrc, 12);
  return crc32(link, chain);
}

export function writePageHeader(page: Buffer, number: number, usedBytes: number, chain: number) {
  writeU64(page, 0, number);
  page.writeUInt32LE(usedBytes, 8);
  page.writeUInt32LE(chain, 12);
}

export interface PageHeader {
  readonly number: number;
  readonly usedBytes: number;
  readonly chain: number;
}

/** The header of a page as stored, or undefined when it cannot be the page `number`: damage. */
export function readPageHeader(page: Buffer, number: number): PageHeader | undefined {
  if (page.length < pageHeaderBytes) return undefined;
  const header = {
    number: readU64(page, 0),
    usedBytes: page.readUInt32LE(8),
    chain: page.readUInt32LE(12),
  };
  return header.number === number && header.usedBytes === page.length ? header : undefined;
}

/** First row of a generation file: who wrote it and where it stands in the journal. */
export interface GenerationHeader {
  readonly shard: string;
  /** Ownership in which the generation was begun. */
  readonly epoch: number;
  /** Number of the generation, from 1, dense. */
  readonly number: number;
  readonly firstPage: number;
  /** Chain after the last page before this generation. */
  readonly previousChain: number;
  /** Page where the newest complete checkpoint began when this generation was begun; replay starts there. */
  readonly checkpointPage: number;
  readonly volumeId: string;
}

const magic = 'millrace-journal-1';

export function encodeGenerationHeader(header: GenerationHeader): Buffer {
  return sumJson({ magic, ...header });
}

export function decodeGenerationHeader(bytes: Buffer | undefined, file: string): GenerationHeader {
  const value = bytes === undefined ? undefined : readSumJson(bytes);
  if (value?.['magic'] !== magic) {
    throw new BrokerError(
      'DATA_LOSS',
      `generation file ${file} has no readable header; restore it from a backup of the volume`,
      { metadata: { file } },
    );
  }
  return value as unknown as GenerationHeader;
}

/** JSON behind its CRC-32: for the few small rows that people may want to read. */
export function sumJson(value: object): Buffer {
  const text = Buffer.from(JSON.stringify(value));
  const bytes = Buffer.allocUnsafe(4 + text.length);
  bytes.writeUInt32LE(crc32(text), 0);
  text.copy(bytes, 4);
  return bytes;
}

/** Undefined when the CRC does not match. */
export function readSumJson(bytes: Buffer): Record<string, unknown> | undefined {
  if (bytes.length < 4) return undefined;
  const text = bytes.subarray(4);
  if (crc32(text) !== bytes.readUInt32LE(0)) return undefined;
  const value: unknown = JSON.parse(text.toString());
  assert(typeof value === 'object' && value !== null, 'summed JSON is an object');
  return value as Record<string, unknown>;
}
