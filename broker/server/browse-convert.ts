// Browsing between the API's messages and the broker.
import { fromBinary, type MessageInitShape } from '@bufbuild/protobuf';
import { browse, type BrowsedRecord } from '../cluster/browse.ts';
import type { Broker } from '../cluster/broker.ts';
import { BrokerError } from '../core/errors.ts';
import type { RecordState as State } from '../subscription/record-place.ts';
import { RecordBatchSchema } from '../../proto/gen/millrace/v1/record_pb.ts';
import {
  RecordState,
  type BrowsedRecordSchema,
  type BrowseSubscriptionRequest,
  type BrowseSubscriptionResponseSchema,
} from '../../proto/gen/millrace/v1/subscription_pb.ts';
import { numberFromProto } from './subscription-convert.ts';

const states = {
  ready: RecordState.READY,
  in_flight: RecordState.IN_FLIGHT,
  waiting: RecordState.WAITING,
  delayed: RecordState.DELAYED,
  dead: RecordState.DEAD,
} as const satisfies Readonly<Record<State, RecordState>>;

export async function browsePage(
  broker: Broker,
  request: BrowseSubscriptionRequest,
): Promise<MessageInitShape<typeof BrowseSubscriptionResponseSchema>> {
  const { topic, name, partition, recordsMax } = request;
  const subscription = broker.openSubscription(topic, name, undefined);
  const state = stateFromProto(request.state);
  const fromOffset = numberFromProto(request.fromOffset, 'from_offset');
  const page = await browse(
    subscription,
    { partition, state, fromOffset, recordsMax },
    broker.clock,
  );
  return { records: page.records.map(recordToProto), nextOffset: BigInt(page.nextOffset) };
}

export function stateToProto(state: State): RecordState {
  return states[state];
}

/** Undefined when unspecified. */
function stateFromProto(state: RecordState): State | undefined {
  if (state === RecordState.UNSPECIFIED) return undefined;
  for (const [name, value] of Object.entries(states)) if (value === state) return name as State;
  throw new BrokerError('ARGUMENT_INVALID', `there is no record state ${String(state)}`);
}

function recordToProto(browsed: BrowsedRecord): MessageInitShape<typeof BrowsedRecordSchema> {
  const { epoch, attempts, consumer, reason, priority } = browsed;
  return {
    offset: BigInt(browsed.offset),
    epoch,
    appendTimeMs: BigInt(browsed.appendTimeMs),
    state: states[browsed.state],
    attempts,
    consumer,
    deliveredAtMs: BigInt(browsed.deliveredAtMs),
    ackDeadlineAtMs: BigInt(browsed.ackDeadlineAtMs),
    lease: BigInt(browsed.lease),
    readyAtMs: BigInt(browsed.readyAtMs),
    reason,
    expiresAtMs: BigInt(browsed.expiresAtMs),
    priority,
    record: fromBinary(RecordBatchSchema, browsed.batch).records[0],
  };
}
