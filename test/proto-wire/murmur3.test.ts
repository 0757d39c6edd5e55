import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { murmur3 } from '../../proto/wire/murmur3.ts';

describe('murmur3', () => {
  // Published vectors of MurmurHash3 x86 32-bit with seed 0.
  it.each([
    ['', 0x00000000],
    ['00', 0x514e28b7],
    ['0000', 0x30f4c306],
    ['000000', 0x85f0b427],
    ['00000000', 0x2362f9de],
    ['ffffffff', 0x76293b50],
    ['21', 0x72661cf4],
    ['2143', 0xa0f7b07a],
    ['214365', 0x7e4a8634],
    ['21436587', 0xf55b516b],
  ])('of the bytes %s', (hex, hash) => {
    expect(murmur3(Buffer.from(hex, 'hex'))).toBe(hash);
  });

  it.each([
    ['a', 0x3c2569b2],
    ['abc', 0xb3dd93fa],
    ['test', 0xba6bd213],
    ['hello', 0x248bfa47],
    ['hello, world', 0x149bbb7f],
    ['Hello, world!', 0xc0363e43],
    ['The quick brown fox jumps over the lazy dog', 0x2e4ff723],
  ])('of the text %j', (text, hash) => {
    expect(murmur3(Buffer.from(text))).toBe(hash);
  });

  it('of a part is that of its bytes alone, wherever they stand', () => {
    const bytes = fc.uint8Array({ maxLength: 40 });
    fc.assert(
      fc.property(bytes, bytes, bytes, (before, key, after) => {
        const all = Buffer.concat([before, key, after]);
        const hash = murmur3(all, before.length, before.length + key.length);
        expect(hash).toBe(murmur3(key));
        expect(hash).toBe(hash >>> 0);
      }),
    );
  });
});
