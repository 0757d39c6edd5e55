// Bytes that must never change their meaning: what is on disks and in buckets is read by them. Written by a program
// of another language after the description of the format.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { openPlain } from '../../broker/batch/compressed-batch.ts';
import { scanBatch } from '../../broker/batch/scan.ts';
import {
  decodeStoredHeader,
  encodeStoredHeader,
  flagCompressed,
  storedHeaderBytes,
  type StoredHeader,
} from '../../broker/batch/stored-header.ts';
import { readByProtobufEs, readByProtobufJs, textOfRecords } from './decoders.ts';

interface GoldenHeader {
  readonly name: string;
  readonly header: StoredHeader;
  readonly hex: string;
}

interface GoldenBatch {
  readonly name: string;
  readonly hex: string;
  readonly outcome: { readonly ok: boolean; readonly compressed?: boolean };
  /** Of an admitted one; keys and values in hexadecimal. */
  readonly records?: readonly {
    readonly key: string;
    readonly value: string;
    readonly timestampMs: number;
    readonly headers: readonly (readonly [string, string])[];
  }[];
}

function golden(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`golden/${name}.json`, import.meta.url), 'utf8'));
}

describe('golden stored headers', () => {
  it.each(golden('stored-headers') as GoldenHeader[])('$name', ({ header, hex }) => {
    const written = Buffer.alloc(storedHeaderBytes);
    encodeStoredHeader(header, written, 0);
    expect(written.toString('hex')).toBe(hex);
    expect(decodeStoredHeader(Buffer.from(hex, 'hex'), 0)).toEqual(header);
  });
});

describe('golden batches', () => {
  it.each(golden('batches') as GoldenBatch[])('$name', ({ hex, outcome, records }) => {
    const bytes = Buffer.from(hex, 'hex');
    expect(scanBatch(bytes, 0, bytes.length, 4_096)).toMatchObject(outcome);
    if (records === undefined) return;
    const expected = textOfRecords(
      records.map(({ key, value, timestampMs, headers }) => ({
        key: Buffer.from(key, 'hex'),
        value: Buffer.from(value, 'hex'),
        timestampMs,
        headers: headers.map(([name, text]) => [name, Buffer.from(text, 'hex')] as const),
      })),
    );
    const plain = openPlain(bytes, outcome.compressed === true ? flagCompressed : 0);
    expect(readByProtobufEs(plain)).toBe(expected);
    expect(readByProtobufJs(plain)).toBe(expected);
  });
});
