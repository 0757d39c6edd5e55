// Frames of HTTP/2 as bytes, right or wrong.
const preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

/** The first bytes of a connection. */
export const http2Preface = Buffer.from(preface);

export const frameTypes = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

/** Of HEADERS and CONTINUATION: the header block is complete. */
export const endHeaders = 4;

/** `length` may lie. */
export function frameOfLength(
  length: number,
  type: number,
  body: Buffer,
  flags = 0,
  stream = 0,
): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(length, 0, 3);
  header.writeUInt8(type, 3);
  header.writeUInt8(flags, 4);
  header.writeUInt32BE(stream, 5);
  return Buffer.concat([header, body]);
}

export function frame(type: number, body: Buffer, flags = 0, stream = 0): Buffer {
  return frameOfLength(body.length, type, body, flags, stream);
}

/** Preface and empty settings. */
export const http2Begin = Buffer.concat([
  http2Preface,
  frame(frameTypes.settings, Buffer.alloc(0)),
]);

/** One header field, without Huffman code and without an index. */
export function literalHeader(name: string, value: string): Buffer {
  return Buffer.from(
    `\x00${String.fromCharCode(name.length)}${name}${String.fromCharCode(value.length)}${value}`,
    'latin1',
  );
}

/** The header block of a gRPC call, such as `PublishService/Publish`. */
export function callHeaders(method: string): Buffer {
  const path = `/millrace.v1.${method}`;
  return Buffer.concat([
    // POST and http from the static table, then literals that are not remembered.
    Buffer.from([0x83, 0x86, 0x04, path.length]),
    Buffer.from(path),
    // Without an authority a call is malformed and reaches nobody.
    literalHeader(':authority', 'broker'),
    literalHeader('content-type', 'application/grpc'),
    literalHeader('te', 'trailers'),
  ]);
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** Frames in what was received; the last one may be cut off and is left out. */
export function framesOf(bytes: Buffer): { type: number; stream: number; body: Buffer }[] {
  const frames = [];
  for (let at = 0; at + 9 <= bytes.length;) {
    const end = at + 9 + bytes.readUIntBE(at, 3);
    if (end > bytes.length) break;
    const stream = bytes.readUInt32BE(at + 5);
    frames.push({ type: bytes.readUInt8(at + 3), stream, body: bytes.subarray(at + 9, end) });
    at = end;
  }
  return frames;
}
