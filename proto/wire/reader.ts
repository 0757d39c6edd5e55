// Reads protobuf wire format by hand, without copies. Shared by broker and SDK for the hot messages.
// Format: https://protobuf.dev/programming-guides/encoding
//
// Numbers above 2^53 - 1 are refused: no field of the hot messages may have one.

/** The bytes are not what protobuf allows here. */
export class WireError extends Error {
  override readonly name = 'WireError';
}

export const wireVarint = 0;
export const wireFixed64 = 1;
export const wireBytes = 2;
export const wireFixed32 = 5;

/** Keeps a leading byte order mark: without it two different names would read alike. */
const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

export class WireReader {
  readonly bytes: Uint8Array;
  position: number;
  readonly end: number;

  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.bytes = bytes;
    this.position = start;
    this.end = end;
  }

  get done(): boolean {
    return this.position >= this.end;
  }

  /** Field number and wire type as `number << 3 | type`. */
  tag(): number {
    const tag = this.varint();
    if (tag > 0xffffffff || tag >>> 3 === 0) throw new WireError(`bad field tag ${tag}`);
    return tag;
  }

  /** An unsigned number below 2^53. */
  varint(): number {
    const { bytes, end } = this;
    let position = this.position;
    if (position >= end) throw new WireError('truncated varint');
    let byte = bytes[position++] as number;
    if (byte < 0x80) {
      this.position = position;
      return byte;
    }
    let value = byte & 0x7f;
    let scale = 128;
    for (;;) {
      if (position >= end) throw new WireError('truncated varint');
      byte = bytes[position++] as number;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
      scale *= 128;
      if (scale > 2 ** 63) throw new WireError('varint longer than 10 bytes');
    }
    if (value > Number.MAX_SAFE_INTEGER) throw new WireError('number above 2^53 - 1');
    this.position = position;
    return value;
  }

  /** An unsigned number below 2^32. */
  uint32(): number {
    const value = this.varint();
    if (value > 0xffffffff) throw new WireError(`number ${value} above 2^32 - 1`);
    return value;
  }

  /** Length-delimited bytes as a view of the frame. */
  view(): Uint8Array {
    const end = this.delimited();
    const view = this.bytes.subarray(this.position, end);
    this.position = end;
    return view;
  }

  text(): string {
    const end = this.delimited();
    const text = utf8.decode(this.bytes.subarray(this.position, end));
    this.position = end;
    return text;
  }

  /** Reads a length; answers where the field ends and leaves the position at its first byte. */
  delimited(): number {
    const length = this.varint();
    const end = this.position + length;
    if (end > this.end) throw new WireError('field reaches past the end of its message');
    return end;
  }

  /** Skips one field of the given wire type. */
  skip(type: number): void {
    switch (type) {
      case wireVarint:
        this.skipVarint();
        break;
      case wireFixed64:
        this.advance(8);
        break;
      case wireBytes:
        this.position = this.delimited();
        break;
      case wireFixed32:
        this.advance(4);
        break;
      default:
        throw new WireError(`wire type ${type} is not supported`);
    }
  }

  private advance(count: number): void {
    if (this.position + count > this.end) throw new WireError('truncated field');
    this.position += count;
  }

  private skipVarint(): void {
    for (let i = 0; i < 10; i++) {
      if (this.position >= this.end) throw new WireError('truncated varint');
      if ((this.bytes[this.position++] as number) < 0x80) return;
    }
    throw new WireError('varint longer than 10 bytes');
  }
}
