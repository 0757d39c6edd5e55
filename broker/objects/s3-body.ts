// The bytes of an answer, exactly as many as its headers promised and as were asked for.
//
// Invariant: what is answered is whole and from the place that was asked for; all else throws. A proxy that ignores
// ranges, or a connection that ends early, must not look like data.
import type { IncomingMessage } from 'node:http';

/** Larger than any object of ours: a header that says more is wrong, and must not take the memory. */
export const objectBytesMax = 512 * 1024 * 1024;

/** All of it, in a buffer of its own, so that it can cross threads without a copy. */
export async function readBody(response: IncomingMessage): Promise<Buffer> {
  const length = Number(response.headers['content-length']);
  if (!Number.isSafeInteger(length)) throw refused(response, 'does not say how long it is');
  if (length > objectBytesMax) throw refused(response, `says that it has ${length} bytes`);
  const bytes = Buffer.allocUnsafeSlow(length);
  let filled = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    if (filled + chunk.length > length) throw refused(response, 'is longer than it said');
    filled += chunk.copy(bytes, filled);
  }
  if (filled < length) throw new Error(`the answer ended after ${filled} of ${length} bytes`);
  return bytes;
}

/** The same for a range: less than asked for only where the object ends. */
export async function readRange(
  response: IncomingMessage,
  start: number,
  length: number,
): Promise<Buffer> {
  const range = response.headers['content-range'] ?? '';
  const [, from, to, total] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(range) ?? [];
  const end = Math.min(start + length, Number(total));
  if (response.statusCode !== 206 || Number(from) !== start || Number(to) !== end - 1) {
    const status = response.statusCode ?? 0;
    throw refused(response, `is ${status} "${range}", not ${length} bytes from ${start} on`);
  }
  const bytes = await readBody(response);
  if (bytes.length !== end - start) {
    throw new Error(`the answer has ${bytes.length} bytes for the range "${range}"`);
  }
  return bytes;
}

/** The rest is not waited for: its socket goes. */
function refused(response: IncomingMessage, why: string): Error {
  response.destroy();
  return new Error(`the answer ${why}`);
}
