// One way to read what this layer has stored: every byte is looked at, and what is wrong is DATA_LOSS.
import { WireError, WireReader } from '../../proto/wire/reader.ts';
import { BrokerError } from '../core/errors.ts';
import type { Offset } from '../core/ids.ts';
import { isOffset } from './offset-range.ts';

/** Makes the error to throw; the text says what was wrong. */
export type Damaged = (what: string) => BrokerError;

/**
 * Runs `read` over all of `bytes`. Truncated, malformed or left-over bytes throw DATA_LOSS, as does whatever
 * `read` refuses by throwing `damaged(...)`.
 */
export function readDurable<T>(
  name: string,
  bytes: Uint8Array,
  read: (reader: WireReader, damaged: Damaged) => T,
): T {
  const reader = new WireReader(bytes);
  const damaged: Damaged = (what) =>
    new BrokerError('DATA_LOSS', `${name} is damaged: ${what}; restore it or declare it lost`, {
      metadata: { position: String(reader.position), bytes: String(bytes.length) },
    });
  try {
    const value = read(reader, damaged);
    if (!reader.done) throw damaged(`${bytes.length - reader.position} bytes too many`);
    return value;
  } catch (thrown) {
    if (thrown instanceof WireError) throw damaged(thrown.message);
    throw thrown;
  }
}

export function readOffset(reader: WireReader, damaged: Damaged): Offset {
  const offset = reader.varint();
  if (!isOffset(offset)) throw damaged(`offset ${offset}`);
  return offset;
}
