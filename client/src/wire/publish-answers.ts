// The other items of PublishStream by hand: opens and closes out, answers in.
// Shapes: proto/millrace/v1/publish.proto.
import { create, toBinary } from '@bufbuild/protobuf';
import { ErrorSchema } from '../../../proto/gen/millrace/v1/error_pb.ts';
import {
  PublisherOpenedSchema,
  PublisherOpenSchema,
  type PublisherOpened,
} from '../../../proto/gen/millrace/v1/publish_pb.ts';
import { NoticeSchema, type Notice } from '../../../proto/gen/millrace/v1/stream_pb.ts';
import { WireError, WireReader, wireBytes, wireVarint } from '../../../proto/wire/reader.ts';
import { WireWriter } from '../../../proto/wire/writer.ts';
import { clientError, errorOfItem, type MillraceError } from '../errors.ts';
import { decodeMessage } from '../grpc-method.ts';

export interface AppendAnswer {
  handle: number;
  partition: number;
  sequence: number;
  baseOffset: number;
  recordCount: number;
  duplicate: boolean;
  error: MillraceError | undefined;
}

export interface PublishAnswers {
  opened(opened: PublisherOpened): void;
  appended(answer: AppendAnswer): void;
  noticed(notice: Notice): void;
}

/** A PublishStreamRequest with one open. */
export function encodeOpen(
  handle: number,
  topic: string,
  publisher: string,
  publisherEpoch: number,
): Buffer {
  const open = create(PublisherOpenSchema, { handle, topic, publisher, publisherEpoch });
  const writer = new WireWriter(512);
  writer.bytes(1, toBinary(PublisherOpenSchema, open));
  return writer.finish();
}

/** A PublishStreamRequest with one close. */
export function encodeClose(handle: number): Buffer {
  const close = new WireWriter(8);
  close.uint(1, handle);
  const writer = new WireWriter(16);
  writer.bytes(3, close.finish());
  return writer.finish();
}

/** Calls back for each item of a PublishStreamResponse in its order. Throws RESPONSE_MALFORMED. */
export function readPublishAnswers(frame: Buffer, answers: PublishAnswers): void {
  try {
    const reader = new WireReader(frame);
    while (!reader.done) readItem(reader, answers);
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw clientError(
      'RESPONSE_MALFORMED',
      `the broker's answer is not a PublishStreamResponse: ${error.message}`,
      { effect: 'unknown', cause: error },
    );
  }
}

function readItem(reader: WireReader, answers: PublishAnswers): void {
  const tag = reader.tag();
  if (tag === ((2 << 3) | wireBytes)) answers.appended(readAppendAnswer(reader));
  else if (tag === ((1 << 3) | wireBytes)) {
    answers.opened(decodeMessage(PublisherOpenedSchema, reader.view()));
  } else if (tag === ((3 << 3) | wireBytes)) {
    answers.noticed(decodeMessage(NoticeSchema, reader.view()));
  } else reader.skip(tag & 7);
}

function readAppendAnswer(reader: WireReader): AppendAnswer {
  const end = reader.delimited();
  const answer: AppendAnswer = {
    handle: 0,
    partition: 0,
    sequence: 0,
    baseOffset: 0,
    recordCount: 0,
    duplicate: false,
    error: undefined,
  };
  while (reader.position < end) {
    const tag = reader.tag();
    if (tag === ((1 << 3) | wireVarint)) answer.handle = reader.uint32();
    else if (tag === ((2 << 3) | wireVarint)) answer.partition = reader.uint32();
    else if (tag === ((3 << 3) | wireVarint)) answer.sequence = reader.varint();
    else if (tag === ((4 << 3) | wireVarint)) answer.baseOffset = reader.varint();
    else if (tag === ((5 << 3) | wireVarint)) answer.recordCount = reader.uint32();
    else if (tag === ((6 << 3) | wireVarint)) answer.duplicate = reader.varint() !== 0;
    else if (tag === ((7 << 3) | wireBytes)) {
      answer.error = errorOfItem(decodeMessage(ErrorSchema, reader.view()));
    } else reader.skip(tag & 7);
  }
  if (reader.position !== end) throw new WireError('an answer reaches past its end');
  return answer;
}
