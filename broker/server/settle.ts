// What consumers say about ranges of records, to their subscription and back as failures of the API.
import { create } from '@bufbuild/protobuf';
import type { OpenSubscription } from '../cluster/open-subscription.ts';
import { BrokerError } from '../core/errors.ts';
import { limits } from '../core/limits.ts';
import type { Consumer, Settlement, SettlementFailure } from '../subscription/consumer.ts';
import {
  AckFailureSchema,
  AckVerb,
  type AckFailure,
} from '../../proto/gen/millrace/v1/consume_pb.ts';
import { errorItem } from './status.ts';
import type { AckRangeFields } from './wire/delivery-codec.ts';

/** Settles ranges, partition by partition in the order in which they came. Answers what failed. */
export function settleRanges(
  subscription: OpenSubscription,
  consumer: Consumer,
  acks: readonly AckRangeFields[],
): AckFailure[] {
  const failures: AckFailure[] = [];
  for (let from = 0; from < acks.length;) {
    const { partition } = acks[from] as AckRangeFields;
    let to = from + 1;
    while (to < acks.length && acks[to]?.partition === partition) to++;
    const run = acks.slice(from, to);
    settlePartition(subscription, consumer, partition, run).forEach((outcome, i) => {
      if (outcome !== undefined) failures.push(ackFailure(run[i] as AckRangeFields, outcome));
    });
    from = to;
  }
  return failures;
}

function settlePartition(
  subscription: OpenSubscription,
  consumer: Consumer,
  partition: number,
  acks: readonly AckRangeFields[],
): readonly (SettlementFailure | undefined)[] {
  const known = acks.filter(({ verb }) => verbs[verb] !== undefined);
  const settlements = known.map((ack): Settlement => ({
    ...ack,
    verb: verbs[ack.verb] ?? 'ack',
  }));
  const outcomes = subscription.settle(consumer, partition, settlements);
  // A verb that there is not fails alone, like a range that does not fit.
  return acks.map((ack) => {
    const index = known.indexOf(ack);
    return index < 0 ? 'wrong_verb' : outcomes[index];
  });
}

const verbs: Readonly<Record<number, Settlement['verb']>> = {
  [AckVerb.ACK]: 'ack',
  [AckVerb.NACK]: 'nack',
  [AckVerb.EXTEND]: 'extend',
  [AckVerb.RETURN]: 'return',
  [AckVerb.CUMULATIVE]: 'cumulative',
  [AckVerb.REJECT]: 'reject',
};

function ackFailure(ack: AckRangeFields, failure: SettlementFailure): AckFailure {
  const { partition, firstOffset, lastOffset, lease } = ack;
  return create(AckFailureSchema, {
    partition,
    firstOffset: BigInt(firstOffset),
    lastOffset: BigInt(lastOffset),
    lease: BigInt(lease),
    error: errorItem(settlementError(failure, ack)),
  });
}

function settlementError(failure: SettlementFailure, ack: AckRangeFields): BrokerError {
  const range = `${ack.firstOffset}-${ack.lastOffset} of partition ${ack.partition}`;
  switch (failure) {
    case 'lease_lost':
      return new BrokerError(
        'LEASE_LOST',
        `records ${range} are not held under lease ${ack.lease} any more; they were or will be delivered again`,
      );
    case 'invalid':
      return new BrokerError(
        'ACK_INVALID',
        `records ${range} were not delivered, or are no range; settle what was delivered`,
      );
    case 'outbox_full':
      return new BrokerError(
        'LIMIT_REACHED',
        `${limits.outboxMax} records are on their way to the dead-letter topic already; see why they do not arrive, ` +
          'with millrace subscription describe',
        { metadata: { limit: 'outboxMax' } },
      );
    case 'wrong_verb':
      return new BrokerError(
        'ACK_INVALID',
        'this verb does not fit the kind of subscription; use CUMULATIVE for streams, all others for queues',
      );
  }
}
