// Policies and quotas between the API's messages and the catalog.
import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  policyFieldNames,
  policyFields,
  type BacklogQuota,
  type EffectivePolicy,
  type PolicyLevel as Level,
  type PolicyPatch,
  type SaidPolicy,
} from '../catalog/policy.ts';
import { quotaFieldNames, quotaFields, type Quota, type QuotaPatch } from '../catalog/quota.ts';
import { BrokerError } from '../core/errors.ts';
import {
  BacklogPolicy,
  PolicyLevel,
  type Policy as PolicyMessage,
  type PolicySchema,
  type PolicySourceSchema,
} from '../../proto/gen/millrace/v1/policy_pb.ts';
import type { Quota as QuotaMessage, QuotaSchema } from '../../proto/gen/millrace/v1/tenant_pb.ts';
import { numberFromProto } from './subscription-convert.ts';

/** TopicSpec has the same fields. */
export type PolicyFields = Pick<
  PolicyMessage,
  'retention' | 'tiering' | 'backlogQuota' | 'batchBytesMax' | 'timeToLiveMs'
>;

/** Throws ARGUMENT_INVALID. */
export function policyFromProto(policy: PolicyFields): PolicyPatch {
  const { retention, tiering, backlogQuota, batchBytesMax, timeToLiveMs } = policy;
  return {
    batchBytesMax,
    timeToLiveMs:
      timeToLiveMs === undefined ? undefined : numberFromProto(timeToLiveMs, 'time_to_live_ms'),
    backlogQuota:
      backlogQuota === undefined
        ? undefined
        : {
            bytes: numberFromProto(backlogQuota.bytes, 'backlog_quota.bytes'),
            policy: backlogPolicyFromProto(backlogQuota.policy),
          },
    tiering:
      tiering === undefined
        ? undefined
        : {
            hotAgeMs: numberFromProto(tiering.hotAgeMs, 'tiering.hot_age_ms'),
            hotBytes: numberFromProto(tiering.hotBytes, 'tiering.hot_bytes'),
          },
    retention:
      retention === undefined
        ? undefined
        : {
            ageMs: numberFromProto(retention.ageMs, 'retention.age_ms'),
            bytes: numberFromProto(retention.bytes, 'retention.bytes'),
            forever: retention.forever,
            unackedAgeMs: numberFromProto(retention.unackedAgeMs, 'retention.unacked_age_ms'),
          },
  };
}

/** Only what is said. */
export function policyToProto(said: SaidPolicy) {
  const { retention, tiering, backlogQuota, batchBytesMax, timeToLiveMs } = said;
  return {
    ...(batchBytesMax === undefined ? {} : { batchBytesMax }),
    ...(timeToLiveMs === undefined ? {} : { timeToLiveMs: BigInt(timeToLiveMs) }),
    ...(backlogQuota === undefined ? {} : { backlogQuota: backlogToProto(backlogQuota) }),
    ...(tiering === undefined
      ? {}
      : {
          tiering: { hotAgeMs: BigInt(tiering.hotAgeMs), hotBytes: BigInt(tiering.hotBytes) },
        }),
    ...(retention === undefined
      ? {}
      : {
          retention: {
            ageMs: BigInt(retention.ageMs),
            bytes: BigInt(retention.bytes),
            forever: retention.forever,
            unackedAgeMs: BigInt(retention.unackedAgeMs),
          },
        }),
  } satisfies MessageInitShape<typeof PolicySchema>;
}

const levels: Readonly<Record<Level, PolicyLevel>> = {
  cluster: PolicyLevel.CLUSTER,
  tenant: PolicyLevel.TENANT,
  namespace: PolicyLevel.NAMESPACE,
  topic: PolicyLevel.TOPIC,
};

export function sourcesToProto({
  sources,
}: EffectivePolicy): MessageInitShape<typeof PolicySourceSchema>[] {
  return policyFields.map((field) => ({
    field: policyFieldNames[field],
    level: levels[sources[field]],
  }));
}

/** Throws ARGUMENT_INVALID. */
export function quotaFromProto(quota: QuotaMessage): QuotaPatch {
  const patch: Partial<Record<keyof Quota, number>> = {};
  for (const field of quotaFields) {
    const value = quota[field];
    if (value !== undefined) {
      patch[field] = numberFromProto(value, `quota.${quotaFieldNames[field]}`);
    }
  }
  return patch;
}

export function quotaToProto(quota: Quota): MessageInitShape<typeof QuotaSchema> {
  const message: Partial<Record<keyof Quota, bigint>> = {};
  for (const field of quotaFields) message[field] = BigInt(quota[field]);
  return message;
}

const backlogPolicies = {
  refuse_publish: BacklogPolicy.REFUSE_PUBLISH,
  drop_oldest: BacklogPolicy.DROP_OLDEST,
} as const;

function backlogToProto({ bytes, policy }: BacklogQuota) {
  return { bytes: BigInt(bytes), policy: backlogPolicies[policy] };
}

function backlogPolicyFromProto(policy: BacklogPolicy): BacklogQuota['policy'] {
  switch (policy) {
    case BacklogPolicy.UNSPECIFIED:
    case BacklogPolicy.REFUSE_PUBLISH:
      return 'refuse_publish';
    case BacklogPolicy.DROP_OLDEST:
      return 'drop_oldest';
    default:
      throw new BrokerError('ARGUMENT_INVALID', `there is no backlog policy ${String(policy)}`);
  }
}
