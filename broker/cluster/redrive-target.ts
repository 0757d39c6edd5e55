// Where a redriven letter goes: to the partition that it came from, for the subscription that gave it up; or, by the
// operator's word, to another topic, for everybody.
//
// Invariants:
// - No letter leaves its tenant.
// - Letters of one key go to one partition, in their order.
import { murmur3 } from '../../proto/wire/murmur3.ts';
import type { Subscription } from '../catalog/subscription.ts';
import { parseSubscriptionName, parseTopicName, type SubscriptionName } from '../catalog/names.ts';
import type { TopicId } from '../core/ids.ts';
import type { LetterView } from '../subscription/dead-letter-view.ts';
import type { RedriveTarget } from '../subscription/outbox-state.ts';
import type { OpenTopic } from './open-topic.ts';

export interface TargetLookup {
  /** By full name. */
  topic(fullName: string): OpenTopic | undefined;
  subscription(topicId: TopicId, name: SubscriptionName): Subscription | undefined;
}

export interface RedriveRequest {
  readonly job: number;
  /** Full name; empty: to where it came from. */
  readonly to: string;
  /** Of the topic that holds the letters. */
  readonly tenant: string;
  readonly letter: LetterView;
  /** Of the letter; spreads records without a key. */
  readonly offset: number;
}

/** A text: why there is nowhere to go. */
export function targetOf(lookup: TargetLookup, request: RedriveRequest): RedriveTarget | string {
  const { job, to, letter } = request;
  if (to !== '') {
    const open = lookup.topic(to);
    if (open === undefined) return `there is no topic ${to}`;
    const partition = partitionOf(open.logs.length, undefined, request);
    return { job, topicId: open.topic.id, partition, audience: 0 };
  }
  const { origin } = letter;
  if (origin === undefined)
    return 'it is no dead letter, and nobody knows where it would go: say where to';
  if (parseTopicName(origin.topic).tenant !== request.tenant) return 'it is of another tenant';
  const open = lookup.topic(origin.topic);
  if (open === undefined) return `there is no topic ${origin.topic} any more; say where else to`;
  const name = parseSubscriptionName(origin.subscription);
  const subscription = lookup.subscription(open.topic.id, name);
  if (subscription === undefined) {
    return `there is no subscription ${name} on ${origin.topic} any more; create it, or say where else to`;
  }
  const partition = partitionOf(open.logs.length, origin.partition, request);
  return { job, topicId: open.topic.id, partition, audience: subscription.id };
}

/** Where it was, if that is there: a publisher chose it. Else as the SDK does, by the hash of the key. */
function partitionOf(
  count: number,
  origin: number | undefined,
  { letter, offset }: RedriveRequest,
): number {
  if (origin !== undefined && origin < count) return origin;
  const { key } = letter;
  return key.length === 0 ? offset % count : murmur3(key, 0, key.length) % count;
}
