// Finds the end of a zstd frame (RFC 8878, section 3.1.1) without opening it. Node's decoder joins further frames and
// leaves out skippable ones and whatever else follows, without a word.

const magic = 0xfd2fb528;
/** Bytes of the dictionary id, by the lowest two bits of the frame header's descriptor. */
const dictionaryIdBytes = [0, 1, 2, 4] as const;
const rleBlock = 1;
const reservedBlock = 3;

/** Whether the bytes are one frame from first to last, as far as its structure tells. */
export function isOneZstdFrame(bytes: Buffer): boolean {
  if (bytes.length < 5 || bytes.readUInt32LE(0) !== magic) return false;
  const descriptor = bytes[4] as number;
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const contentSizeFlag = descriptor >>> 6;
  const windowBytes = isSingleSegment ? 0 : 1;
  const contentSizeBytes = contentSizeFlag > 0 ? 2 ** contentSizeFlag : isSingleSegment ? 1 : 0;
  const checksumBytes = (descriptor & 0x04) !== 0 ? 4 : 0;
  let at = 5 + windowBytes + (dictionaryIdBytes[descriptor & 3] ?? 0) + contentSizeBytes;
  for (;;) {
    if (at + 3 > bytes.length) return false;
    const header = bytes.readUIntLE(at, 3);
    const type = (header >>> 1) & 3;
    if (type === reservedBlock) return false;
    at += 3 + (type === rleBlock ? 1 : header >>> 3);
    const isLast = (header & 1) === 1;
    if (isLast) return at + checksumBytes === bytes.length;
  }
}
