// The durable form of a letter on its way to another topic: in journal entries and in checkpoints.
import type { WireReader } from '../../proto/wire/reader.ts';
import type { WireWriter } from '../../proto/wire/writer.ts';
import { readOffset, type Damaged } from './durable-bytes.ts';
import { subscriptionId, topicId } from '../core/ids.ts';
import type { DeadLetter, RedriveTarget } from './outbox-state.ts';

/** A target follows the letter's text exactly when it is redriven. */
const reasonCodes = {
  attempts_exhausted: 1,
  rejected: 2,
  expired: 3,
  redriven: 4,
} as const satisfies Record<DeadLetter['reason'], number>;
const reasons: readonly (DeadLetter['reason'] | undefined)[] = [
  undefined,
  'attempts_exhausted',
  'rejected',
  'expired',
  'redriven',
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
  const { target } = letter;
  if (target === undefined) return;
  writer.varint(target.job);
  writer.varint(target.topicId);
  writer.varint(target.partition);
  writer.varint(target.audience);
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
  const target = reason === 'redriven' ? readTarget(reader, damaged) : undefined;
  return { number, offset, attempts, reason, text, isDetached, target };
}

function readTarget(reader: WireReader, damaged: Damaged): RedriveTarget {
  const job = readOffset(reader, damaged);
  const topic = reader.uint32();
  if (topic === 0) throw damaged('a redrive to topic 0');
  const partition = reader.uint32();
  const audience = reader.uint32();
  return {
    job,
    topicId: topicId(topic),
    partition,
    audience: audience === 0 ? 0 : subscriptionId(audience),
  };
}
