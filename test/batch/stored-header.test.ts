import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  bodyIsIntact,
  decodeStoredHeader,
  encodeStoredHeader,
  storedHeaderBytes,
} from '../../broker/batch/stored-header.ts';
import { storedHeaderArbitrary } from './stored-header-arbitrary.ts';

const someHeader = fc.sample(storedHeaderArbitrary, { seed: 1, numRuns: 1 })[0];

function encoded(): Buffer {
  const bytes = Buffer.alloc(storedHeaderBytes);
  if (someHeader !== undefined) encodeStoredHeader(someHeader, bytes, 0);
  return bytes;
}

describe('the stored header', () => {
  it('comes back as it was written, wherever it stands, and touches nothing around it', () => {
    fc.assert(
      fc.property(storedHeaderArbitrary, fc.nat(20), fc.nat(20), (header, before, after) => {
        const bytes = Buffer.alloc(before + storedHeaderBytes + after, 0xa5);
        encodeStoredHeader(header, bytes, before);
        expect(decodeStoredHeader(bytes, before)).toEqual(header);
        const around = Buffer.concat([
          bytes.subarray(0, before),
          bytes.subarray(before + storedHeaderBytes),
        ]);
        expect(around).toEqual(Buffer.alloc(before + after, 0xa5));
      }),
    );
  });

  it('is refused with any bit flipped', () => {
    const bytes = encoded();
    for (let bit = 0; bit < storedHeaderBytes * 8; bit++) {
      const flipped = Buffer.from(bytes);
      flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      expect(decodeStoredHeader(flipped, 0)).toBeUndefined();
    }
    expect(decodeStoredHeader(bytes, 0)).toEqual(someHeader);
  });

  it('is refused with any two bits flipped', () => {
    const bit = fc.nat(storedHeaderBytes * 8 - 1);
    fc.assert(
      fc.property(bit, bit, (first, second) => {
        fc.pre(first !== second);
        const flipped = encoded();
        for (const at of [first, second]) {
          flipped.writeUInt8(flipped.readUInt8(at >> 3) ^ (1 << (at & 7)), at >> 3);
        }
        expect(decodeStoredHeader(flipped, 0)).toBeUndefined();
      }),
      { numRuns: 1_000 },
    );
  });

  it.each([
    ['another magic', 0],
    ['another version', 2],
  ])('is refused with %s, though its CRC is right', (_, at) => {
    const bytes = encoded();
    bytes.writeUInt8(bytes.readUInt8(at) + 1, at);
    const covered = Buffer.concat([bytes.subarray(0, 4), bytes.subarray(8)]);
    bytes.writeUInt32LE(crc32(covered), 4);
    expect(decodeStoredHeader(bytes, 0)).toBeUndefined();
  });

  it('is refused where the bytes end before it does', () => {
    const bytes = encoded();
    for (let length = 0; length < storedHeaderBytes; length++) {
      expect(decodeStoredHeader(bytes.subarray(0, length), 0)).toBeUndefined();
    }
    expect(decodeStoredHeader(bytes, 1)).toBeUndefined();
  });
});

describe('bodyIsIntact', () => {
  const body = Buffer.from('the body of a batch');
  const bytes = Buffer.concat([Buffer.alloc(3), body, Buffer.alloc(3)]);

  it('sums exactly the body', () => {
    fc.assert(
      fc.property(storedHeaderArbitrary, (someOther) => {
        const header = { ...someOther, bodyBytes: body.length, bodyCrc: crc32(body) };
        expect(bodyIsIntact(header, bytes, 3)).toBe(true);
        expect(bodyIsIntact(header, bytes, 2)).toBe(false);
        expect(bodyIsIntact(header, bytes.subarray(0, 3 + body.length - 1), 3)).toBe(false);
        expect(bodyIsIntact({ ...header, bodyBytes: body.length - 1 }, bytes, 3)).toBe(false);
        // Less than was promised, though its sum is the one that was promised.
        expect(bodyIsIntact({ ...header, bodyBytes: body.length + 1 }, body, 0)).toBe(false);
      }),
      { numRuns: 10 },
    );
  });

  it('refuses a body with any bit flipped', () => {
    const header = { ...someHeader, bodyBytes: body.length, bodyCrc: crc32(body) };
    for (let bit = 0; bit < body.length * 8; bit++) {
      const flipped = Buffer.from(body);
      flipped.writeUInt8(flipped.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      expect(bodyIsIntact(header as Parameters<typeof bodyIsIntact>[0], flipped, 0)).toBe(false);
    }
  });
});
