// How a received record is printed: its value as a line, or everything as JSON.
import { once } from 'node:events';
import type { Message, ReceivedRecord } from '../client/src/index.ts';
import { bytesField, isoTime } from './output.ts';

const lineEnd = Buffer.from('\n');

/** The value's own bytes and a line end. */
export async function printRecord(record: ReceivedRecord | Message): Promise<void> {
  process.stdout.write(record.value);
  if (!process.stdout.write(lineEnd)) await once(process.stdout, 'drain');
}

export function recordJson(record: ReceivedRecord | Message): Record<string, unknown> {
  const headers = [...record.headers].map(([name, value]) => ({
    name,
    ...bytesField('value', value),
  }));
  return {
    topic: record.topic,
    partition: record.partition,
    offset: record.offset,
    epoch: record.epoch,
    append_time: isoTime(record.appendTimeMs),
    ...(record.timestampMs === 0 ? {} : { timestamp: isoTime(record.timestampMs) }),
    ...(record.key.length === 0 ? {} : bytesField('key', record.key)),
    ...bytesField('value', record.value),
    ...(headers.length === 0 ? {} : { headers }),
  };
}
