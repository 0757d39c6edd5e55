// What a dead letter says of itself: the record's key and headers, and what the broker's own headers mean.
//
// A record that somebody published to the dead-letter topic by hand has none of those: it has no origin. Nobody but the
// broker can write them, because publishers are refused.
import { WireReader, wireBytes } from '../../proto/wire/reader.ts';
import type { DeadReason } from './outbox-state.ts';
import { redrivenHeader, reservedPrefix } from './reserved-headers.ts';

export interface LetterOrigin {
  /** Full name. */
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly epoch: number;
  readonly appendTimeMs: number;
  readonly subscription: string;
}

export interface LetterView {
  /** Empty: none. */
  readonly key: Buffer;
  /** The publisher's own. */
  readonly headers: readonly (readonly [string, Buffer])[];
  /** Undefined: it is no dead letter, but a record that was published here. */
  readonly origin: LetterOrigin | undefined;
  readonly reason: DeadReason | undefined;
  readonly attempts: number;
  readonly error: string;
  /** How often it was redriven before. */
  readonly redrivenCount: number;
}

const keyTag = (1 << 3) | wireBytes;
const headersTag = (4 << 3) | wireBytes;
const nameTag = (1 << 3) | wireBytes;
const valueTag = (2 << 3) | wireBytes;
const reasons: readonly DeadReason[] = ['attempts_exhausted', 'rejected', 'expired'];

/** Of a plain batch of one record. */
export function letterOf(batch: Buffer): LetterView {
  const reader = new WireReader(batch);
  reader.tag();
  const end = reader.delimited();
  let key: Buffer = Buffer.alloc(0);
  const headers: (readonly [string, Buffer])[] = [];
  const reserved = new Map<string, string>();
  while (reader.position < end) {
    const tag = reader.tag();
    if (tag !== keyTag && tag !== headersTag) {
      reader.skip(tag & 7);
      continue;
    }
    const fieldEnd = reader.delimited();
    if (tag === keyTag) key = batch.subarray(reader.position, fieldEnd);
    else {
      const [name, value] = headerIn(batch, reader.position, fieldEnd);
      if (name.startsWith(reservedPrefix)) reserved.set(name, value.toString());
      else headers.push([name, value]);
    }
    reader.position = fieldEnd;
  }
  const text = (name: string): string => reserved.get(`${reservedPrefix}${name}`) ?? '';
  const reason = reasons.find((one) => one === text('reason'));
  return {
    key,
    headers,
    origin: originOf(text),
    reason,
    attempts: Number(text('attempts')),
    error: text('error'),
    redrivenCount: Number(reserved.get(redrivenHeader) ?? '0'),
  };
}

function headerIn(batch: Buffer, from: number, end: number): [string, Buffer] {
  const reader = new WireReader(batch, from, end);
  let name = '';
  let value: Buffer = Buffer.alloc(0);
  while (!reader.done) {
    const tag = reader.tag();
    const fieldEnd = reader.delimited();
    if (tag === nameTag) name = batch.toString('latin1', reader.position, fieldEnd);
    if (tag === valueTag) value = batch.subarray(reader.position, fieldEnd);
    reader.position = fieldEnd;
  }
  return [name, value];
}

function originOf(text: (name: string) => string): LetterOrigin | undefined {
  const topic = text('origin-topic');
  if (topic === '') return undefined;
  return {
    topic,
    partition: Number(text('origin-partition')),
    offset: Number(text('origin-offset')),
    epoch: Number(text('origin-epoch')),
    appendTimeMs: Number(text('origin-append-time-ms')),
    subscription: text('origin-subscription'),
  };
}
