// Bytes of a job on dead letters inside the catalog's journal entries; as object-codec.ts.
import { subscriptionId, topicId } from '../core/ids.ts';
import { WireError, WireReader } from '../../proto/wire/reader.ts';
import { WireWriter } from '../../proto/wire/writer.ts';
import type {
  DeadLetterFigures,
  DeadLetterFilter,
  DeadLetterJob,
  LetterReason,
} from './dead-letter-job.ts';
import { bytesField, nameOf, numberField, readFlag, readId, readMessage } from './codec-fields.ts';

const actionCodes = { redrive: 1, purge: 2 } as const;
const stateCodes = { running: 1, done: 2, cancelled: 3 } as const;
const reasonCodes = { attempts_exhausted: 1, rejected: 2, expired: 3 } as const;

export function encodeDeadLetterJob(job: DeadLetterJob): Buffer {
  const { figures } = job;
  const writer = new WireWriter();
  writer.uint(1, job.id);
  writer.uint(2, job.topicId);
  writer.uint(3, job.subscriptionId);
  writer.uint(4, actionCodes[job.action]);
  writer.bytes(5, encodeFilter(job.filter));
  writer.string(6, job.to);
  writer.uint(7, job.recordsPerSecondMax);
  writer.bool(8, job.dryRun);
  writer.bytes(9, encodeOffsets(job.until));
  writer.uint(10, stateCodes[job.state]);
  writer.uint(11, job.createdAtMs);
  writer.uint(12, job.endedAtMs);
  writer.uint(13, figures.scanned);
  writer.uint(14, figures.matched);
  writer.uint(15, figures.done);
  writer.uint(16, figures.stayed);
  writer.string(17, figures.stayedBecause);
  return writer.finish();
}

export function decodeDeadLetterJob(bytes: Uint8Array): DeadLetterJob {
  const head = { id: 0, topicId: 0, subscriptionId: 0, action: 0, state: 0, to: '' };
  const rest = { recordsPerSecondMax: 0, dryRun: false, createdAtMs: 0, endedAtMs: 0 };
  const figures: { -readonly [F in keyof DeadLetterFigures]: DeadLetterFigures[F] } = {
    scanned: 0,
    matched: 0,
    done: 0,
    stayed: 0,
    stayedBecause: '',
  };
  let filter = decodeFilter(new Uint8Array(0));
  let until: readonly number[] = [];
  readMessage(bytes, {
    [numberField(1)]: (reader) => (head.id = reader.varint()),
    [numberField(2)]: (reader) => (head.topicId = reader.varint()),
    [numberField(3)]: (reader) => (head.subscriptionId = reader.varint()),
    [numberField(4)]: (reader) => (head.action = reader.varint()),
    [bytesField(5)]: (reader) => (filter = decodeFilter(reader.view())),
    [bytesField(6)]: (reader) => (head.to = reader.text()),
    [numberField(7)]: (reader) => (rest.recordsPerSecondMax = reader.varint()),
    [numberField(8)]: (reader) => (rest.dryRun = readFlag(reader)),
    [bytesField(9)]: (reader) => (until = decodeOffsets(reader.view())),
    [numberField(10)]: (reader) => (head.state = reader.varint()),
    [numberField(11)]: (reader) => (rest.createdAtMs = reader.varint()),
    [numberField(12)]: (reader) => (rest.endedAtMs = reader.varint()),
    [numberField(13)]: (reader) => (figures.scanned = reader.varint()),
    [numberField(14)]: (reader) => (figures.matched = reader.varint()),
    [numberField(15)]: (reader) => (figures.done = reader.varint()),
    [numberField(16)]: (reader) => (figures.stayed = reader.varint()),
    [bytesField(17)]: (reader) => (figures.stayedBecause = reader.text()),
  });
  return {
    ...rest,
    id: readJobId(head.id),
    topicId: topicId(readId(head.topicId, 'topic id')),
    subscriptionId: subscriptionId(readId(head.subscriptionId, 'subscription id')),
    action: nameOf(actionCodes, head.action, 'job action'),
    state: nameOf(stateCodes, head.state, 'job state'),
    to: head.to,
    filter,
    until,
    figures,
  };
}

/** As revisions, job numbers may outgrow 32 bits. */
export function readJobId(id: number): number {
  if (id > 0) return id;
  throw new WireError('job 0');
}

function encodeFilter(filter: DeadLetterFilter): Buffer {
  const writer = new WireWriter();
  for (const reason of filter.reasons) writer.uint(1, reasonCodes[reason]);
  if (filter.key !== undefined) writer.bytes(2, filter.key);
  for (const { name, value } of filter.headers) {
    const header = new WireWriter();
    header.string(1, name);
    header.bytes(2, value);
    writer.bytes(3, header.finish());
  }
  writer.uint(4, filter.sinceMs);
  writer.uint(5, filter.untilMs);
  writer.string(6, filter.originTopic);
  writer.string(7, filter.originSubscription);
  return writer.finish();
}

function decodeFilter(bytes: Uint8Array): DeadLetterFilter {
  const reasons: LetterReason[] = [];
  const headers: DeadLetterFilter['headers'][number][] = [];
  let key: Uint8Array | undefined;
  const rest = { sinceMs: 0, untilMs: 0, originTopic: '', originSubscription: '' };
  readMessage(bytes, {
    [numberField(1)]: (reader) =>
      reasons.push(nameOf(reasonCodes, reader.varint(), 'dead-letter reason')),
    [bytesField(2)]: (reader) => (key = Buffer.from(reader.view())),
    [bytesField(3)]: (reader) => headers.push(decodeHeader(reader.view())),
    [numberField(4)]: (reader) => (rest.sinceMs = reader.varint()),
    [numberField(5)]: (reader) => (rest.untilMs = reader.varint()),
    [bytesField(6)]: (reader) => (rest.originTopic = reader.text()),
    [bytesField(7)]: (reader) => (rest.originSubscription = reader.text()),
  });
  return { ...rest, reasons, headers, key };
}

function decodeHeader(bytes: Uint8Array): { name: string; value: Uint8Array } {
  const header = { name: '', value: new Uint8Array(0) };
  readMessage(bytes, {
    [bytesField(1)]: (reader) => (header.name = reader.text()),
    [bytesField(2)]: (reader) => (header.value = new Uint8Array(reader.view())),
  });
  return header;
}

function encodeOffsets(offsets: readonly number[]): Buffer {
  const writer = new WireWriter(16 + offsets.length * 5);
  for (const offset of offsets) writer.varint(offset);
  return writer.finish();
}

function decodeOffsets(bytes: Uint8Array): number[] {
  const reader = new WireReader(bytes);
  const offsets: number[] = [];
  while (!reader.done) offsets.push(reader.varint());
  return offsets;
}
