// The durable form of a letter on its way to the dead-letter topic: in journal entries and in checkpoints.
import type { WireReader } from '../../proto/wire/reader.ts';
import type { WireWriter } from '../../proto/wire/writer.ts';
import { readOffset, type Damaged } from './durable-bytes.ts';
import type { DeadLetter, DeadReason } from './outbox-state.ts';

const reasonCodes = { attempts_exhausted: 1, rejected: 2, expired: 3 } as const satisfies Record<
  DeadReason,
  number
>;
const reasons: readonly (DeadReason | undefined)[] = [
  undefined,
  'attempts_exhausted',
  'rejected',
  'expired',
];

export function writeDeadLetter(writer: WireWriter, letter: DeadLetter): void {
  const text = Buffer.from(letter.text);
  writer.varint(letter.number);
  writer.varint(letter.offset);
  writer.varint(letter.attempts);
  writer.varint(reasonCodes[letter.reason]);
  writer.varint(letter.isDetached ? 1 : 0);
  writer.varint(text.length);
  writer.raw(text);
}

export function readDeadLetter(reader: WireReader, damaged: Damaged): DeadLetter {
  const number = readOffset(reader, damaged);
  const offset = readOffset(reader, damaged);
  const attempts = reader.varint();
  const code = reader.varint();
  const reason = reasons[code];
  if (number === 0 || reason === undefined) throw damaged(`letter ${number} of reason ${code}`);
  const isDetached = reader.varint() === 1;
  const text = Buffer.from(reader.view()).toString();
  return { number, offset, attempts, reason, text, isDetached };
}
