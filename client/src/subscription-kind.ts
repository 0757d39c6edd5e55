// Kinds of subscriptions between the API and what programs write.
import { SubscriptionKind as KindMessage } from '../../proto/gen/millrace/v1/subscription_pb.ts';

/** How records are handed out: by offset to one consumer, to any number, or to any number in the order of keys. */
export type SubscriptionKind = 'stream' | 'queue' | 'keyed_queue';

const kinds = {
  stream: KindMessage.STREAM,
  queue: KindMessage.QUEUE,
  keyed_queue: KindMessage.KEYED_QUEUE,
} as const satisfies Readonly<Record<SubscriptionKind, KindMessage>>;

export function kindToProto(kind: SubscriptionKind): KindMessage {
  return kinds[kind];
}

/** What this client does not know is treated as a queue: acks are single ones. */
export function kindFromProto(kind: KindMessage | undefined): SubscriptionKind {
  if (kind === KindMessage.STREAM) return 'stream';
  return kind === KindMessage.KEYED_QUEUE ? 'keyed_queue' : 'queue';
}
