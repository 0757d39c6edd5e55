// Splits a byte stream into lines without decoding it: values are bytes, and a line may be no UTF-8.

const newline = 0x0a;
const carriageReturn = 0x0d;

export class LineReader implements AsyncIterable<Buffer> {
  private readonly source: AsyncIterable<Buffer | string>;

  constructor(source: AsyncIterable<Buffer | string>) {
    this.source = source;
  }

  /** Each line without its end (LF or CRLF); the last one also when it has none. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    let rest: Buffer[] = [];
    for await (const piece of this.source) {
      const chunk = typeof piece === 'string' ? Buffer.from(piece) : piece;
      let from = 0;
      for (let at = chunk.indexOf(newline); at >= 0; at = chunk.indexOf(newline, from)) {
        const tail = chunk.subarray(from, at);
        const line = rest.length > 0 ? Buffer.concat([...rest, tail]) : tail;
        rest = [];
        from = at + 1;
        yield withoutReturn(line);
      }
      if (from < chunk.length) rest.push(chunk.subarray(from));
    }
    if (rest.length > 0) yield withoutReturn(Buffer.concat(rest));
  }
}

function withoutReturn(line: Buffer): Buffer {
  return line.at(-1) === carriageReturn ? line.subarray(0, -1) : line;
}
