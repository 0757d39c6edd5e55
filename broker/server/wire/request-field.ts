// Reads one text out of a request's bytes, before anybody decodes the request.
//
// Invariant: a field on the path that stands there twice, or with another wire type, is refused. Decoders differ in
// which one they take, and the gate must not ask about one name while the handler uses another.
import { WireReader, wireBytes } from '../../../proto/wire/reader.ts';
import { malformed } from './publish-codec.ts';

/** Empty when it is not there. `path`: field numbers from the request inwards. Throws FRAME_MALFORMED. */
export function readTextField(request: Uint8Array, path: readonly number[], rpc: string): string {
  try {
    let reader: WireReader | undefined = new WireReader(request);
    for (const [depth, field] of path.entries()) {
      const end = findField(reader, field);
      if (end === undefined) return '';
      if (depth === path.length - 1) return textUpTo(reader, end);
      reader = new WireReader(reader.bytes, reader.position, end);
    }
    return '';
  } catch (cause) {
    throw malformed(rpc, cause);
  }
}

/** Leaves the position at the first byte of the field; answers where it ends. */
function findField(reader: WireReader, field: number): number | undefined {
  let found: { readonly from: number; readonly end: number } | undefined;
  while (!reader.done) {
    const tag = reader.tag();
    if (tag >>> 3 !== field) {
      reader.skip(tag & 7);
      continue;
    }
    if ((tag & 7) !== wireBytes || found !== undefined) {
      throw new Error(`field ${field} stands there twice or is no text`);
    }
    const end = reader.delimited();
    found = { from: reader.position, end };
    reader.position = end;
  }
  if (found === undefined) return undefined;
  reader.position = found.from;
  return found.end;
}

function textUpTo(reader: WireReader, end: number): string {
  const view = reader.bytes.subarray(reader.position, end);
  return Buffer.from(view.buffer, view.byteOffset, view.length).toString('utf8');
}
