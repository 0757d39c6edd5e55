// Frames and pages: what was written is read, and any damage of what their CRCs cover is noticed.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeKeyNumber,
  encodeKey,
  frameBytes,
  frameHeaderBytes,
  keyKinds,
  pageHeaderBytes,
  readFrame,
  readPageHeader,
  sealFrame,
} from '../../broker/journal/format.ts';
import { ControlEntry } from '../../broker/journal/control-entry.ts';
import { OpenPage } from '../../broker/journal/page.ts';

const payloads = fc.array(fc.uint8Array({ maxLength: 200 }), { minLength: 1, maxLength: 20 });

function pageOf(entries: readonly Uint8Array[]): Buffer {
  const page = new OpenPage(42, Buffer.alloc(16 * 1024));
  entries.forEach((payload, i) => page.add(new ControlEntry(20 + i, payload, () => {})));
  return page.close(99).bytes;
}

describe('a page', () => {
  it('gives back its entries in their order', () => {
    fc.assert(
      fc.property(payloads, (entries) => {
        const page = pageOf(entries);
        expect(readPageHeader(page, 42)?.usedBytes).toBe(page.length);
        let at = pageHeaderBytes;
        for (const [i, payload] of entries.entries()) {
          const frame = readFrame(page, at);
          expect(frame?.type).toBe(20 + i);
          expect(page.subarray(frame?.guardAt, frame?.bodyAt)).toEqual(Buffer.from(payload));
          at = frame?.end ?? page.length;
        }
        expect(at).toBe(page.length);
      }),
    );
  });

  it('is not taken for another page, nor for a shorter one', () => {
    const page = pageOf([Buffer.from('entry')]);
    expect(readPageHeader(page, 43)).toBeUndefined();
    expect(readPageHeader(page.subarray(0, -1), 42)).toBeUndefined();
  });

  it('shows any flipped bit of a control entry as damage', () => {
    const page = pageOf([Buffer.from('one'), Buffer.from('two')]);
    fc.assert(
      fc.property(fc.integer({ min: pageHeaderBytes * 8, max: page.length * 8 - 1 }), (bit) => {
        const damaged = Buffer.from(page);
        damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        const first = readFrame(damaged, pageHeaderBytes);
        const second = first === undefined ? undefined : readFrame(damaged, first.end);
        expect(first !== undefined && second !== undefined).toBe(false);
      }),
    );
  });
});

describe('a frame', () => {
  it('leaves its body to the CRC inside its guard', () => {
    const shape = { type: 16, guardBytes: 4, bodyBytes: 4 };
    const page = Buffer.alloc(frameBytes(shape), 'x');
    sealFrame(page, 0, shape);
    page[frameHeaderBytes + 5] = 0;
    expect(readFrame(page, 0)).toBeDefined();
    page[frameHeaderBytes + 1] = 0;
    expect(readFrame(page, 0)).toBeUndefined();
  });
});

describe('keys', () => {
  it('sort as header, pages by number, index, seal, and give back their number', () => {
    const numbers = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });
    fc.assert(
      fc.property(numbers, numbers, (a, b) => {
        expect(decodeKeyNumber(encodeKey(keyKinds.page, a))).toBe(a);
        const order = Buffer.compare(encodeKey(keyKinds.page, a), encodeKey(keyKinds.page, b));
        expect(Math.sign(order)).toBe(Math.sign(a - b));
        expect(Buffer.compare(encodeKey(keyKinds.header, a), encodeKey(keyKinds.page, b))).toBe(-1);
        expect(Buffer.compare(encodeKey(keyKinds.index, a), encodeKey(keyKinds.seal, b))).toBe(-1);
      }),
    );
  });
});
