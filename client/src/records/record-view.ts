// One record of a batch: its fields are found in one pass and decoded when they are asked for.
import { WireReader, wireBytes, wireVarint } from '../../../proto/wire/reader.ts';

const keyTag = (1 << 3) | wireBytes;
const valueTag = (2 << 3) | wireBytes;
const timestampTag = (3 << 3) | wireVarint;
const headerTag = (4 << 3) | wireBytes;

const empty: Buffer = Buffer.alloc(0);

/** The parts of a record as views of its batch. */
export class RecordView {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly timestampMs: number;
  /** Position of the first header, or -1. */
  private readonly headersAt: number;
  private readonly end: number;
  private readonly batch: Buffer;

  constructor(batch: Buffer, start: number, end: number) {
    const reader = new WireReader(batch, start, end);
    let key: Buffer = empty;
    let value: Buffer = empty;
    let timestampMs = 0;
    let headersAt = -1;
    while (reader.position < end) {
      const at = reader.position;
      const tag = reader.tag();
      if (tag === valueTag || tag === keyTag) {
        const fieldEnd = reader.delimited();
        const view = batch.subarray(reader.position, fieldEnd);
        reader.position = fieldEnd;
        if (tag === valueTag) value = view;
        else key = view;
      } else if (tag === timestampTag) timestampMs = reader.varint();
      else {
        if (tag === headerTag && headersAt < 0) headersAt = at;
        reader.skip(tag & 7);
      }
    }
    this.key = key;
    this.value = value;
    this.timestampMs = timestampMs;
    this.headersAt = headersAt;
    this.end = end;
    this.batch = batch;
  }

  get headers(): readonly (readonly [string, Buffer])[] {
    if (this.headersAt < 0) return [];
    const headers: [string, Buffer][] = [];
    const reader = new WireReader(this.batch, this.headersAt, this.end);
    while (!reader.done) {
      const tag = reader.tag();
      if (tag === headerTag) headers.push(readHeader(this.batch, reader));
      else reader.skip(tag & 7);
    }
    return headers;
  }
}

function readHeader(batch: Buffer, reader: WireReader): [string, Buffer] {
  const end = reader.delimited();
  let name = '';
  let value: Buffer = empty;
  while (reader.position < end) {
    const tag = reader.tag();
    const fieldEnd = reader.delimited();
    const view = batch.subarray(reader.position, fieldEnd);
    reader.position = fieldEnd;
    if (tag === keyTag) name = view.toString('latin1');
    else value = view;
  }
  return [name, value];
}
