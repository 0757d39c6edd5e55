// SubscriptionService: between the API's messages and the broker's administration.
import type { MessageInitShape } from '@bufbuild/protobuf';
import type { UntypedServiceImplementation } from '@grpc/grpc-js';
import type { Subscription, SubscriptionSpecPatch } from '../catalog/subscription.ts';
import type { Broker } from '../cluster/broker.ts';
import type { PartitionStatus } from '../subscription/consumer.ts';
import type { PositionSchema } from '../../proto/gen/millrace/v1/stream_pb.ts';
import { Edge } from '../../proto/gen/millrace/v1/stream_pb.ts';
import {
  SubscriptionService,
  type SubscriptionPartitionStatusSchema,
  type SubscriptionSchema,
  type SubscriptionSpec,
} from '../../proto/gen/millrace/v1/subscription_pb.ts';
import {
  blockReasonOf,
  kindFromProto,
  kindToProto,
  numberFromProto,
  positionFromProto,
} from './subscription-convert.ts';
import { browsePage } from './browse-convert.ts';
import { unary } from './unary.ts';

const {
  applySubscription,
  getSubscription,
  listSubscriptions,
  deleteSubscription,
  seekSubscription,
  browseSubscription,
} = SubscriptionService.method;

export function subscriptionService(broker: Broker): UntypedServiceImplementation {
  return {
    applySubscription: unary(applySubscription, async (request) => {
      const { topic, name, revision, dryRun } = request;
      const patch = patchFromProto(request.spec);
      const applied = await broker.applySubscription({ topic, name, patch, revision, dryRun });
      const { subscription, changes, created } = applied;
      const described = dryRun
        ? subscriptionToProto(broker.topic(topic).topic.name.full, subscription)
        : describe(broker, topic, subscription);
      return { subscription: described, changes: [...changes], created };
    }),
    getSubscription: unary(getSubscription, ({ topic, name }) => ({
      subscription: describe(broker, topic, broker.subscription(topic, name)),
    })),
    listSubscriptions: unary(listSubscriptions, ({ topic, pageSize, pageToken }) => {
      const page = broker.listSubscriptions({ topic, pageSize, pageToken });
      return {
        subscriptions: page.items.map((one) => describe(broker, topic, one)),
        nextPageToken: page.nextPageToken,
      };
    }),
    deleteSubscription: unary(deleteSubscription, async ({ topic, name }) => {
      await broker.deleteSubscription(topic, name);
      return {};
    }),
    seekSubscription: unary(seekSubscription, async ({ topic, name, to, all }) => {
      await broker.seekSubscription(topic, name, {
        to: to.map(({ partition, position }) => ({
          partition,
          position: positionFromProto(position) ?? { kind: 'latest' },
        })),
        all: positionFromProto(all),
      });
      return { partitions: statusOf(broker, topic, broker.subscription(topic, name)) };
    }),
    browseSubscription: unary(browseSubscription, (request) => browsePage(broker, request)),
  };
}

function patchFromProto(spec: SubscriptionSpec | undefined): SubscriptionSpecPatch {
  if (spec === undefined) return {};
  return {
    kind: kindFromProto(spec.kind),
    start: positionFromProto(spec.start),
    ackDeadlineMs: spec.ackDeadlineMs,
    backoffMinMs: spec.backoffMinMs,
    backoffMaxMs: spec.backoffMaxMs,
    paused: spec.paused,
    attemptsMax: spec.attemptsMax,
    deadLetterTopic: spec.deadLetterTopic,
    deadLetterExpired: spec.deadLetterExpired,
    recordsPerSecondMax: spec.recordsPerSecondMax,
    expiresAfterMs:
      spec.expiresAfterMs === undefined
        ? undefined
        : numberFromProto(spec.expiresAfterMs, 'expires_after_ms'),
  };
}

function subscriptionToProto(topic: string, subscription: Subscription) {
  const { paused, expiresAfterMs, ...queueOnly } = subscription.spec;
  const kind = kindToProto(subscription.kind);
  const start = startToProto(subscription.start);
  const queue = subscription.kind === 'stream' ? {} : queueOnly;
  return {
    topic,
    name: subscription.name,
    subscriptionId: String(subscription.id),
    revision: String(subscription.revision),
    spec: { kind, start, paused, expiresAfterMs: BigInt(expiresAfterMs), ...queue },
  };
}

function startToProto(start: Subscription['start']): MessageInitShape<typeof PositionSchema> {
  switch (start.kind) {
    case 'offset':
      return { at: { case: 'offset', value: BigInt(start.offset) }, epoch: start.epoch };
    case 'time':
      return { at: { case: 'appendTimeMs', value: BigInt(start.timeMs) } };
    case 'earliest':
      return { at: { case: 'edge', value: Edge.EARLIEST } };
    case 'latest':
      return { at: { case: 'edge', value: Edge.LATEST } };
  }
}

function describe(
  broker: Broker,
  topic: string,
  subscription: Subscription,
): MessageInitShape<typeof SubscriptionSchema> {
  return {
    ...subscriptionToProto(broker.topic(topic).topic.name.full, subscription),
    partitions: statusOf(broker, topic, subscription),
    consumers: broker.consumersOf(topic, subscription).map((consumer) => ({
      consumer: consumer.name,
      activePartitions: [...consumer.activePartitions],
      inFlight: BigInt(consumer.inFlight),
    })),
  };
}

function statusOf(
  broker: Broker,
  topic: string,
  subscription: Subscription,
): MessageInitShape<typeof SubscriptionPartitionStatusSchema>[] {
  return broker
    .subscriptionStatus(topic, subscription)
    .map(({ partition, status, consumers }) => statusToProto(partition, status, consumers));
}

function statusToProto(partition: number, status: PartitionStatus, consumers: number) {
  const { ackedOffset, endOffset, ready, inFlight, waiting, dead, ackedAbove, blocked } = status;
  const { delayed } = status;
  return {
    partition,
    ackedOffset: BigInt(ackedOffset),
    endOffset: BigInt(endOffset),
    backlog: BigInt(ready + inFlight + waiting + delayed + dead),
    ready: BigInt(ready),
    inFlight: BigInt(inFlight),
    waiting: BigInt(waiting),
    delayed: BigInt(delayed),
    dead: BigInt(dead),
    deadLetteredTotal: BigInt(status.deadLetteredTotal),
    droppedTotal: BigInt(status.droppedTotal),
    oldestUnackedAppendTimeMs: BigInt(status.oldestUnackedMs),
    expiredTotal: BigInt(status.expiredTotal),
    blockDetail: status.blockDetail,
    ackedAbove: BigInt(ackedAbove),
    blockReasons: blocked.map(blockReasonOf),
    consumers,
  };
}
