// A page of a partition's manifest as an object: rows that will not change any more, behind a header. Little-endian.
//
//    0 magic `MRMANIF1`   8 tenant u32  12 partition u32  16 rows u32  20 crc u32 of the rows
//   24 crc u32 of the 24 bytes before, then the rows
import { crc32 } from 'node:zlib';
import type { PartitionId, TenantId } from '../core/ids.ts';
import { SegmentRows, segmentRowBytes } from './segment-rows.ts';

const magic = 'MRMANIF1';
const headerBytes = 28;

export interface ManifestPage {
  readonly tenant: TenantId;
  readonly partition: PartitionId;
  readonly rows: SegmentRows;
}

export function encodeManifestPage({ tenant, partition, rows }: ManifestPage): Buffer {
  const body = rows.encoded();
  const bytes = Buffer.allocUnsafeSlow(headerBytes + body.length);
  bytes.write(magic, 0, 'latin1');
  bytes.writeUInt32LE(tenant, 8);
  bytes.writeUInt32LE(partition, 12);
  bytes.writeUInt32LE(rows.count, 16);
  bytes.writeUInt32LE(crc32(body), 20);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, 24)), 24);
  body.copy(bytes, headerBytes);
  return bytes;
}

/** Undefined: not this partition's whole, undamaged page. */
export function decodeManifestPage(
  bytes: Buffer,
  tenant: TenantId,
  partition: PartitionId,
): SegmentRows | undefined {
  if (bytes.length < headerBytes || bytes.toString('latin1', 0, magic.length) !== magic) {
    return undefined;
  }
  if (crc32(bytes.subarray(0, 24)) !== bytes.readUInt32LE(24)) return undefined;
  if (bytes.readUInt32LE(8) !== tenant || bytes.readUInt32LE(12) !== partition) return undefined;
  const body = bytes.subarray(headerBytes);
  if (body.length !== bytes.readUInt32LE(16) * segmentRowBytes) return undefined;
  if (crc32(body) !== bytes.readUInt32LE(20)) return undefined;
  return new SegmentRows(Buffer.from(body));
}
