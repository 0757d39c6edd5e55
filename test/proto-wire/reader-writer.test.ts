// Writer and reader against each other, and each against protobuf-es.
import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  WireError,
  WireReader,
  wireBytes,
  wireFixed32,
  wireFixed64,
  wireVarint,
} from '../../proto/wire/reader.ts';
import { WireWriter, varintBytes } from '../../proto/wire/writer.ts';

const borders = [
  0,
  1,
  127,
  128,
  16_383,
  16_384,
  2 ** 21,
  2 ** 28 - 1,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32,
  2 ** 49,
];
const number = fc.oneof(fc.constantFrom(...borders, Number.MAX_SAFE_INTEGER), fc.maxSafeNat());
const fieldNumber = fc.oneof(fc.integer({ min: 1, max: 20 }), fc.constant(2 ** 29 - 1));

function hex(text: string): WireReader {
  return new WireReader(Buffer.from(text.replaceAll(' ', ''), 'hex'));
}

describe('a varint', () => {
  it('comes back, takes the bytes that varintBytes says, and is what protobuf-es writes', () => {
    fc.assert(
      fc.property(number, (value) => {
        const writer = new WireWriter(1);
        writer.varint(value);
        const bytes = writer.finish();
        expect(bytes).toHaveLength(varintBytes(value));
        expect(Buffer.from(new BinaryWriter().uint64(BigInt(value)).finish())).toEqual(bytes);
        const reader = new WireReader(bytes);
        expect(reader.varint()).toBe(value);
        expect(reader.done).toBe(true);
      }),
      { numRuns: 1_000 },
    );
  });

  it.each([
    ['00', 0],
    ['7f', 127],
    ['8000', 0],
    ['80808080808080808000', 0],
    ['ffffffffffffff0f', 2 ** 53 - 1],
  ])('%s is %d', (text, value) => expect(hex(text).varint()).toBe(value));

  it.each([
    ['no byte', ''],
    ['a truncated one', '80'],
    ['eleven bytes', '8080808080808080808000'],
    ['2^53', '8080808080808010'],
    ['2^64 - 1', 'ffffffffffffffffff01'],
  ])('%s is refused', (_, text) => expect(() => hex(text).varint()).toThrow(WireError));

  it('that is a uint32 is refused from 2^32 on', () => {
    expect(hex('ffffffff0f').uint32()).toBe(2 ** 32 - 1);
    expect(() => hex('8080808010').uint32()).toThrow(WireError);
  });
});

describe('a tag', () => {
  it.each([
    ['field 0', '02'],
    ['a number above 2^32', '8080808010'],
    ['a truncated one', '8a'],
  ])('with %s is refused', (_, text) => expect(() => hex(text).tag()).toThrow(WireError));
});

describe('a field', () => {
  it('that WireWriter wrote is what protobuf-es reads', () => {
    const text = fc.string({ unit: 'binary', maxLength: 200 });
    const bytes = fc.uint8Array({ maxLength: 300 });
    fc.assert(
      fc.property(
        fieldNumber,
        number,
        text,
        bytes,
        fc.nat(30),
        (field, uint, string, blob, room) => {
          const writer = new WireWriter(room);
          writer.uint(field, uint);
          writer.bool(field, uint % 2 === 1);
          writer.string(field, string);
          writer.bytes(field, blob);
          const reader = new BinaryReader(writer.finish());
          if (uint !== 0) {
            expect(reader.tag()).toEqual([field, wireVarint]);
            expect(reader.uint64()).toSatisfy((read) => BigInt(read as bigint) === BigInt(uint));
          }
          if (uint % 2 === 1) {
            expect(reader.tag()).toEqual([field, wireVarint]);
            expect(reader.bool()).toBe(true);
          }
          if (string.length > 0) {
            expect(reader.tag()).toEqual([field, wireBytes]);
            expect(reader.string()).toBe(string);
          }
          expect(reader.tag()).toEqual([field, wireBytes]);
          expect(Buffer.from(reader.bytes())).toEqual(Buffer.from(blob));
          expect(reader.pos).toBe(reader.len);
        },
      ),
    );
  });

  it('that protobuf-es wrote is what WireReader reads or skips', () => {
    fc.assert(
      fc.property(fieldNumber, number, fc.string(), (field, uint, text) => {
        const bytes = new BinaryWriter()
          .tag(field, wireVarint)
          .uint64(BigInt(uint))
          .tag(field, wireFixed64)
          .fixed64(5n)
          .tag(field, wireFixed32)
          .fixed32(6)
          .tag(field, wireBytes)
          .string(text)
          .finish();
        const reading = new WireReader(bytes);
        expect(reading.tag()).toBe(((field << 3) | wireVarint) >>> 0);
        expect(reading.varint()).toBe(uint);
        for (const type of [wireFixed64, wireFixed32]) {
          expect(reading.tag()).toBe(((field << 3) | type) >>> 0);
          reading.skip(type);
        }
        expect(reading.tag()).toBe(((field << 3) | wireBytes) >>> 0);
        expect(reading.text()).toBe(Buffer.from(text).toString());
        expect(reading.done).toBe(true);
        const skipping = new WireReader(bytes);
        while (!skipping.done) skipping.skip(skipping.tag() & 7);
        expect(skipping.position).toBe(bytes.length);
      }),
    );
  });

  it('of text is read with its leading byte order mark, which is a character like any other', () => {
    const writer = new WireWriter();
    writer.string(1, '\ufefforders');
    const reader = new WireReader(writer.finish());
    reader.tag();
    expect(reader.text()).toBe('\ufefforders');
  });

  it('with its default value is left out, but not an empty bytes or message field', () => {
    const writer = new WireWriter();
    writer.uint(1, 0);
    writer.bool(1, false);
    writer.string(1, '');
    expect(writer.length).toBe(0);
    writer.bytes(1, Buffer.alloc(0));
    expect(writer.finish().toString('hex')).toBe('0a00');
  });

  it('is viewed, not copied', () => {
    const bytes = Buffer.from('0a0361626363', 'hex');
    const reader = new WireReader(bytes);
    reader.tag();
    const view = reader.view();
    expect(view.buffer).toBe(bytes.buffer);
    expect(Buffer.from(view).toString()).toBe('abc');
  });

  it.each([
    ['a length past the end', '0a 05 61'],
    ['a length of 2^53 - 1', '0a ff ff ff ff ff ff ff 0f'],
    ['a fixed64 cut short', '09 00 00 00'],
    ['a fixed32 cut short', '0d 00 00 00'],
    ['a group', '0b 0c'],
    ['wire type 6', '0e 00'],
    ['wire type 7', '0f 00'],
    ['a varint of eleven bytes', '08 80 80 80 80 80 80 80 80 80 80 00'],
  ])('with %s is refused when it is skipped', (_, text) => {
    const reader = hex(text);
    const type = reader.tag() & 7;
    expect(() => reader.skip(type)).toThrow(WireError);
  });

  it('is read within the bounds given, not those of the buffer', () => {
    const bytes = Buffer.from('0a026162', 'hex');
    const reader = new WireReader(bytes, 0, 3);
    reader.tag();
    expect(() => reader.view()).toThrow(WireError);
  });
});

describe('a nested message', () => {
  it('is written by its length first, or as raw bytes, with the same result', () => {
    const inner = new WireWriter();
    inner.uint(1, 300);
    const message = inner.finish();
    const nested = new WireWriter(1);
    nested.bytes(2, message);
    const opened = new WireWriter(1);
    opened.openBytes(2, message.length);
    opened.raw(message);
    expect(opened.finish()).toEqual(nested.finish());
    const reader = new WireReader(opened.finish());
    expect(reader.tag()).toBe((2 << 3) | wireBytes);
    expect(reader.delimited()).toBe(opened.length);
    expect(reader.tag()).toBe((1 << 3) | wireVarint);
    expect(reader.varint()).toBe(300);
  });
});
