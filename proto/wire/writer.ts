// Writes protobuf wire format by hand into one growing buffer. Shared by broker and SDK.
// Format: https://protobuf.dev/programming-guides/encoding
//
// Fields with their default value are left out, as proto3 does.

/** Bytes that an unsigned number below 2^53 takes as a varint. */
export function varintBytes(value: number): number {
  let bytes = 1;
  while (value >= 128) {
    value = Math.floor(value / 128);
    bytes++;
  }
  return bytes;
}

export class WireWriter {
  private buffer: Buffer;
  private used = 0;

  constructor(capacityBytes = 256) {
    this.buffer = Buffer.allocUnsafe(capacityBytes);
  }

  get length(): number {
    return this.used;
  }

  /** What was written, as a view; the writer must not be used afterwards. */
  finish(): Buffer {
    return this.buffer.subarray(0, this.used);
  }

  /** Makes room once, so that the following writes do not grow step by step. */
  reserve(bytes: number): void {
    if (this.used + bytes > this.buffer.length) this.grow(bytes);
  }

  varint(value: number): void {
    this.reserve(10);
    const { buffer } = this;
    let used = this.used;
    while (value > 0x7fffffff) {
      buffer[used++] = (value % 128) | 0x80;
      value = Math.floor(value / 128);
    }
    while (value >= 128) {
      buffer[used++] = (value & 0x7f) | 0x80;
      value >>>= 7;
    }
    buffer[used++] = value;
    this.used = used;
  }

  /** A number field; left out when 0. */
  uint(field: number, value: number): void {
    if (value === 0) return;
    this.varint((field << 3) >>> 0);
    this.varint(value);
  }

  bool(field: number, value: boolean): void {
    if (value) this.uint(field, 1);
  }

  /** A text field; left out when empty. */
  string(field: number, value: string): void {
    if (value.length === 0) return;
    const bytes = Buffer.byteLength(value);
    this.openBytes(field, bytes);
    this.buffer.write(value, this.used);
    this.used += bytes;
  }

  /** A bytes or message field, also when empty. */
  bytes(field: number, value: Uint8Array): void {
    this.openBytes(field, value.length);
    this.buffer.set(value, this.used);
    this.used += value.length;
  }

  /** Header of a length-delimited field whose `length` bytes the caller appends next. */
  openBytes(field: number, length: number): void {
    this.varint(((field << 3) | 2) >>> 0);
    this.varint(length);
    this.reserve(length);
  }

  /** Bytes as they are, without a header. */
  raw(value: Uint8Array): void {
    this.reserve(value.length);
    this.buffer.set(value, this.used);
    this.used += value.length;
  }

  private grow(bytes: number): void {
    const grown = Buffer.allocUnsafe(Math.max(this.buffer.length * 2, this.used + bytes));
    this.buffer.copy(grown, 0, 0, this.used);
    this.buffer = grown;
  }
}
