// Hand-written reader of the unary PublishRequest: the batch stays the publisher's own bytes.
import { WireReader, wireBytes, wireVarint } from '../../../proto/wire/reader.ts';
import { malformed, type TermsFields } from './publish-codec.ts';

export interface PublishRequestFields extends TermsFields {
  topic: string;
  partition: number | undefined;
  batchStart: number;
  batchEnd: number;
  batchCount: number;
}

/** Throws FRAME_MALFORMED. */
export function decodePublishRequest(frame: Buffer): PublishRequestFields {
  const request: PublishRequestFields = {
    topic: '',
    partition: undefined,
    deliverAtMs: 0,
    delayMs: 0,
    timeToLiveMs: 0,
    priority: 0,
    batchStart: 0,
    batchEnd: 0,
    batchCount: 0,
  };
  try {
    const reader = new WireReader(frame);
    while (!reader.done) {
      const tag = reader.tag();
      if (tag === ((15 << 3) | wireBytes)) {
        request.batchEnd = reader.delimited();
        request.batchStart = reader.position;
        request.batchCount++;
        reader.position = request.batchEnd;
      } else if (tag === ((1 << 3) | wireBytes)) request.topic = reader.text();
      else if (tag === ((2 << 3) | wireVarint)) request.partition = reader.uint32();
      else if (tag === ((3 << 3) | wireVarint)) request.deliverAtMs = reader.varint();
      else if (tag === ((4 << 3) | wireVarint)) request.delayMs = reader.varint();
      else if (tag === ((5 << 3) | wireVarint)) request.timeToLiveMs = reader.varint();
      else if (tag === ((6 << 3) | wireVarint)) request.priority = reader.uint32();
      else reader.skip(tag & 7);
    }
  } catch (cause) {
    throw malformed('PublishRequest', cause);
  }
  return request;
}
