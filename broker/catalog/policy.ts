// Policies, and how they inherit: a topic has what was said about it, else what its namespace says, else its tenant,
// else the cluster.
//
// Invariants:
// - What a level says is stored as it was said; what is in force is computed here and nowhere else, and never stored.
// - A field is inherited as a whole: no window is ever made of one level's age and another level's size.
import { BrokerError } from '../core/errors.ts';
import { limits } from '../core/limits.ts';
import { quoted } from '../core/quoted.ts';
import { checkBetween, specInvalid, type SpecFields } from './spec-fields.ts';

/** A record goes when it is outside the window and acked, or older than `unackedAgeMs`. See policy.proto. */
export interface Retention {
  /** 0: the window has no age. */
  readonly ageMs: number;
  /** Stored bytes per partition. 0: the window has no size. */
  readonly bytes: number;
  /** Everything is inside the window. */
  readonly forever: boolean;
  /** 0: unacked records never expire. */
  readonly unackedAgeMs: number;
}

/** What stays on the broker's disk although the object store has it, per partition. See policy.proto. */
export interface Tiering {
  /** 0: as long as there is room. */
  readonly hotAgeMs: number;
  /** Stored bytes. 0: as long as there is room. */
  readonly hotBytes: number;
}

/** How much of a partition may wait for some subscription. */
export interface BacklogQuota {
  /** Stored bytes. 0: no limit. */
  readonly bytes: number;
  readonly policy: BacklogPolicy;
}

export type BacklogPolicy = 'refuse_publish' | 'drop_oldest';

export interface Policy {
  readonly retention: Retention;
  readonly tiering: Tiering;
  readonly backlogQuota: BacklogQuota;
  /** Largest batch. */
  readonly batchBytesMax: number;
  /** Queues do not deliver records that have been due for so long. 0: they always do. */
  readonly timeToLiveMs: number;
}

export type PolicyField = keyof Policy;

/** What one level says; a field that it does not have is inherited. */
export type SaidPolicy = { readonly [F in PolicyField]?: Policy[F] };

/** What a caller wants changed; undefined leaves a field as it is. */
export type PolicyPatch = { readonly [F in PolicyField]?: Policy[F] | undefined };

/** Lowest first: a higher one wins. */
export const policyLevels = ['cluster', 'tenant', 'namespace', 'topic'] as const;
export type PolicyLevel = (typeof policyLevels)[number];

export interface EffectivePolicy {
  readonly values: Policy;
  /** Which level each value comes from. */
  readonly sources: Readonly<Record<PolicyField, PolicyLevel>>;
}

/** By their names in the API. */
export const policyFieldNames = {
  retention: 'retention',
  tiering: 'tiering',
  backlogQuota: 'backlog_quota',
  batchBytesMax: 'batch_bytes_max',
  timeToLiveMs: 'time_to_live_ms',
} as const satisfies Record<PolicyField, string>;

export const policyFields = Object.keys(policyFieldNames) as readonly PolicyField[];

/** What a cluster says that says nothing. */
export const policyDefaults: Policy = {
  retention: { ageMs: 7 * 24 * 3600 * 1000, bytes: 0, forever: false, unackedAgeMs: 0 },
  tiering: { hotAgeMs: 0, hotBytes: 0 },
  backlogQuota: { bytes: 0, policy: 'refuse_publish' },
  batchBytesMax: limits.batchBytesDefault,
  timeToLiveMs: 0,
};

/** What is in force, and why. `undefined`: the level says nothing. */
export function effectivePolicy(
  cluster: Policy,
  said: Readonly<Record<Exclude<PolicyLevel, 'cluster'>, SaidPolicy | undefined>>,
): EffectivePolicy {
  const values: { -readonly [F in PolicyField]: Policy[F] } = { ...cluster };
  const sources: Record<PolicyField, PolicyLevel> = {
    retention: 'cluster',
    tiering: 'cluster',
    backlogQuota: 'cluster',
    batchBytesMax: 'cluster',
    timeToLiveMs: 'cluster',
  };
  const take = <F extends PolicyField>(field: F, level: 'tenant' | 'namespace' | 'topic'): void => {
    const value: Policy[F] | undefined = said[level]?.[field];
    if (value === undefined) return;
    values[field] = value;
    sources[field] = level;
  };
  for (const field of policyFields) {
    take(field, 'tenant');
    take(field, 'namespace');
    take(field, 'topic');
  }
  return { values, sources };
}

/** What the level says with the patch in it, and without what is to be inherited again. Throws SPEC_INVALID. */
export function patchPolicy(
  said: SaidPolicy,
  patch: PolicyPatch,
  inherit: readonly PolicyField[] = [],
): SaidPolicy {
  const patched: { -readonly [F in PolicyField]?: Policy[F] } = {};
  const take = <F extends PolicyField>(field: F): void => {
    if (patch[field] !== undefined && inherit.includes(field)) throw saidAndInherited(field);
    const value: Policy[F] | undefined = patch[field] ?? said[field];
    if (value === undefined || inherit.includes(field)) return;
    patched[field] = typeof value === 'object' ? { ...value } : value;
  };
  for (const field of policyFields) take(field);
  checkPolicy(patched);
  return patched;
}

/** Fields by their names in the API. Throws ARGUMENT_INVALID for one that no policy has. */
export function policyFieldsNamed(names: readonly string[]): PolicyField[] {
  return names.map((name) => {
    const field = policyFields.find((one) => policyFieldNames[one] === name);
    if (field !== undefined) return field;
    throw new BrokerError(
      'ARGUMENT_INVALID',
      `inherit has ${quoted(name)}, but only these can be inherited: ` +
        Object.values(policyFieldNames).join(', '),
      { metadata: { field: 'inherit', value: quoted(name) } },
    );
  });
}

export function saysNothing(said: SaidPolicy): boolean {
  return policyFields.every((field) => said[field] === undefined);
}

/** How a field is told that a level does not say. */
export const inherited = 'inherited';

/** Every field by its name in the API. */
export function policySpecFields(said: SaidPolicy): SpecFields {
  const { retention, tiering, backlogQuota } = said;
  return {
    'retention.age_ms': retention?.ageMs ?? inherited,
    'retention.bytes': retention?.bytes ?? inherited,
    'retention.forever': retention?.forever ?? inherited,
    'retention.unacked_age_ms': retention?.unackedAgeMs ?? inherited,
    'tiering.hot_age_ms': tiering?.hotAgeMs ?? inherited,
    'tiering.hot_bytes': tiering?.hotBytes ?? inherited,
    'backlog_quota.bytes': backlogQuota?.bytes ?? inherited,
    'backlog_quota.policy': backlogQuota?.policy ?? inherited,
    batch_bytes_max: said.batchBytesMax ?? inherited,
    time_to_live_ms: said.timeToLiveMs ?? inherited,
  };
}

function checkPolicy(said: SaidPolicy): void {
  const { retention, tiering, backlogQuota, batchBytesMax, timeToLiveMs } = said;
  if (batchBytesMax !== undefined) {
    checkBetween('batch_bytes_max', batchBytesMax, limits.batchBytesMin, limits.batchBytesMax);
  }
  if (timeToLiveMs !== undefined) {
    checkBetween('time_to_live_ms', timeToLiveMs, 0, limits.farFutureMs);
  }
  if (retention !== undefined) checkRetention(retention);
  if (tiering !== undefined) {
    checkBetween('tiering.hot_age_ms', tiering.hotAgeMs, 0, Number.MAX_SAFE_INTEGER);
    checkBetween('tiering.hot_bytes', tiering.hotBytes, 0, Number.MAX_SAFE_INTEGER);
  }
  if (backlogQuota !== undefined) {
    checkBetween('backlog_quota.bytes', backlogQuota.bytes, 0, Number.MAX_SAFE_INTEGER);
  }
}

function checkRetention({ ageMs, bytes, forever, unackedAgeMs }: Retention): void {
  checkBetween('retention.age_ms', ageMs, 0, Number.MAX_SAFE_INTEGER);
  checkBetween('retention.bytes', bytes, 0, Number.MAX_SAFE_INTEGER);
  checkBetween('retention.unacked_age_ms', unackedAgeMs, 0, Number.MAX_SAFE_INTEGER);
  if (forever && (ageMs !== 0 || bytes !== 0)) {
    throw specInvalid(
      'retention.forever',
      'true',
      'excludes a window; leave age_ms and bytes at 0, or forever unset',
    );
  }
  if (unackedAgeMs !== 0 && unackedAgeMs < ageMs) {
    throw specInvalid(
      'retention.unacked_age_ms',
      String(unackedAgeMs),
      `must be 0 (unacked records never expire) or at least age_ms, which is ${ageMs}`,
    );
  }
}

function saidAndInherited(field: PolicyField): BrokerError {
  const name = policyFieldNames[field];
  return new BrokerError(
    'ARGUMENT_INVALID',
    `${name} is set and named in inherit; do one of both`,
    {
      metadata: { field: 'inherit', value: name },
    },
  );
}
