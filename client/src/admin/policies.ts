// Policies as plain values: what is said at a level, and what is in force for a topic.
import {
  BacklogPolicy as BacklogPolicyMessage,
  PolicyLevel as LevelMessage,
  type Policy as PolicyMessage,
  type PolicySource,
} from '../../../proto/gen/millrace/v1/policy_pb.ts';
import { amount } from '../checked-number.ts';

/** A record goes when it is outside the window and acked everywhere, or older than `unackedAgeMs`. */
export interface Retention {
  /** 0: the window has no age. */
  readonly ageMs: number;
  /** Stored bytes per partition. 0: the window has no size. */
  readonly bytes: number;
  /** Everything is inside the window; `ageMs` and `bytes` are 0. */
  readonly forever: boolean;
  /** 0: unacked records never expire. */
  readonly unackedAgeMs: number;
}

/**
 * What of each partition stays on the broker's disk although the object store has it. Both set: what is inside both.
 * Whatever this says, the oldest leaves the disk when the broker's room for hot records (`millrace start --hot-bytes`)
 * is used up, and nothing leaves it before the object store has it.
 */
export interface Tiering {
  /** Age from the append time. 0: as long as there is room. */
  readonly hotAgeMs: number;
  /** Stored bytes of the newest batches, per partition. 0: as much as there is room for. */
  readonly hotBytes: number;
}

/** How much of each partition may wait for some subscription, and what happens then. */
export interface BacklogQuota {
  /** Stored bytes from the oldest record that a subscription has not acked. 0: no limit. */
  readonly bytes: number;
  /** Refuse publishes with BACKLOG_FULL, or let the oldest records go, acked or not. */
  readonly policy: 'refuse-publish' | 'drop-oldest';
}

/** Each field is inherited as a whole, and changed as a whole. */
export interface Policy {
  readonly retention: Retention;
  readonly tiering: Tiering;
  readonly backlogQuota: BacklogQuota;
  /** Queues do not deliver records that have been due for so long, ms. 0: they always do. */
  readonly timeToLiveMs: number;
  /** Largest batch, bytes. */
  readonly batchBytesMax: number;
}

export type PolicyField = keyof Policy;

/** Who says the value of a field; the nearest to the topic wins. */
export type PolicyLevel = 'cluster' | 'tenant' | 'namespace' | 'topic';

export type PolicySources = Readonly<Record<PolicyField, PolicyLevel>>;

/** Names of the API. */
const fieldNames = {
  retention: 'retention',
  tiering: 'tiering',
  backlogQuota: 'backlog_quota',
  timeToLiveMs: 'time_to_live_ms',
  batchBytesMax: 'batch_bytes_max',
} as const satisfies Record<PolicyField, string>;

export function inheritToProto(fields: readonly PolicyField[] = []): string[] {
  return fields.map((field) => fieldNames[field]);
}

/** Only what is said. Throws ARGUMENT_INVALID. */
export function policyToProto(policy: Partial<Policy>) {
  const { retention, tiering, batchBytesMax, backlogQuota, timeToLiveMs } = policy;
  return {
    ...(batchBytesMax === undefined ? {} : { batchBytesMax }),
    ...(retention === undefined ? {} : { retention: retentionToProto(retention) }),
    ...(tiering === undefined ? {} : { tiering: tieringToProto(tiering) }),
    ...(timeToLiveMs === undefined ? {} : { timeToLiveMs: amount('timeToLiveMs', timeToLiveMs) }),
    ...(backlogQuota === undefined ? {} : { backlogQuota: backlogToProto(backlogQuota) }),
  };
}

type PolicyFields = Pick<
  PolicyMessage,
  'retention' | 'tiering' | 'backlogQuota' | 'batchBytesMax' | 'timeToLiveMs'
>;

/** Only what is said. */
export function saidPolicy(policy: PolicyFields | undefined): Partial<Policy> {
  if (policy === undefined) return {};
  const { retention, tiering, backlogQuota, batchBytesMax, timeToLiveMs } = policy;
  return {
    ...(retention === undefined
      ? {}
      : {
          retention: {
            ageMs: Number(retention.ageMs),
            bytes: Number(retention.bytes),
            forever: retention.forever,
            unackedAgeMs: Number(retention.unackedAgeMs),
          },
        }),
    ...(tiering === undefined
      ? {}
      : {
          tiering: { hotAgeMs: Number(tiering.hotAgeMs), hotBytes: Number(tiering.hotBytes) },
        }),
    ...(backlogQuota === undefined
      ? {}
      : {
          backlogQuota: {
            bytes: Number(backlogQuota.bytes),
            policy:
              backlogQuota.policy === BacklogPolicyMessage.DROP_OLDEST
                ? 'drop-oldest'
                : 'refuse-publish',
          },
        }),
    ...(timeToLiveMs === undefined ? {} : { timeToLiveMs: Number(timeToLiveMs) }),
    ...(batchBytesMax === undefined ? {} : { batchBytesMax }),
  };
}

/** Every field set: what the API says of an effective policy. */
export function wholePolicy(policy: PolicyFields | undefined): Policy {
  return {
    retention: { ageMs: 0, bytes: 0, forever: false, unackedAgeMs: 0 },
    tiering: { hotAgeMs: 0, hotBytes: 0 },
    backlogQuota: { bytes: 0, policy: 'refuse-publish' },
    timeToLiveMs: 0,
    batchBytesMax: 0,
    ...saidPolicy(policy),
  };
}

const levels: Readonly<Partial<Record<LevelMessage, PolicyLevel>>> = {
  [LevelMessage.CLUSTER]: 'cluster',
  [LevelMessage.TENANT]: 'tenant',
  [LevelMessage.NAMESPACE]: 'namespace',
  [LevelMessage.TOPIC]: 'topic',
};

export function sourcesFromProto(sources: readonly PolicySource[]): PolicySources {
  const levelOf = (name: PolicyField): PolicyLevel => {
    const source = sources.find(({ field }) => field === fieldNames[name]);
    return levels[source?.level ?? LevelMessage.UNSPECIFIED] ?? 'cluster';
  };
  return {
    retention: levelOf('retention'),
    tiering: levelOf('tiering'),
    backlogQuota: levelOf('backlogQuota'),
    timeToLiveMs: levelOf('timeToLiveMs'),
    batchBytesMax: levelOf('batchBytesMax'),
  };
}

function retentionToProto({ ageMs, bytes, forever, unackedAgeMs }: Retention) {
  return {
    ageMs: amount('retention.ageMs', ageMs),
    bytes: amount('retention.bytes', bytes),
    forever,
    unackedAgeMs: amount('retention.unackedAgeMs', unackedAgeMs),
  };
}

function tieringToProto({ hotAgeMs, hotBytes }: Tiering) {
  return {
    hotAgeMs: amount('tiering.hotAgeMs', hotAgeMs),
    hotBytes: amount('tiering.hotBytes', hotBytes),
  };
}

function backlogToProto({ bytes, policy }: BacklogQuota) {
  return {
    bytes: amount('backlogQuota.bytes', bytes),
    policy:
      policy === 'drop-oldest'
        ? BacklogPolicyMessage.DROP_OLDEST
        : BacklogPolicyMessage.REFUSE_PUBLISH,
  };
}
