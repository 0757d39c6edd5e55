// MurmurHash3 x86 32-bit, seed 0 (Austin Appleby, public domain), of a record's key.
// Broker and every SDK must agree on it: it chooses the partition.

export function murmur3(bytes: Uint8Array, start = 0, end = bytes.length): number {
  const c1 = 0xcc9e2d51;
  const c2 = 0x1b873593;
  let hash = 0;
  const blocksEnd = start + ((end - start) & ~3);
  let at = start;
  for (; at < blocksEnd; at += 4) {
    let k =
      (bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24);
    k = Math.imul(k, c1);
    k = (k << 15) | (k >>> 17);
    hash ^= Math.imul(k, c2);
    hash = (hash << 13) | (hash >>> 19);
    hash = (Math.imul(hash, 5) + 0xe6546b64) | 0;
  }
  let tail = 0;
  const rest = end - at;
  if (rest >= 3) tail ^= (bytes[at + 2] as number) << 16;
  if (rest >= 2) tail ^= (bytes[at + 1] as number) << 8;
  if (rest >= 1) {
    tail ^= bytes[at] as number;
    tail = Math.imul(tail, c1);
    tail = (tail << 15) | (tail >>> 17);
    hash ^= Math.imul(tail, c2);
  }
  hash ^= end - start;
  hash ^= hash >>> 16;
  hash = Math.imul(hash, 0x85ebca6b);
  hash ^= hash >>> 13;
  hash = Math.imul(hash, 0xc2b2ae35);
  hash ^= hash >>> 16;
  return hash >>> 0;
}
