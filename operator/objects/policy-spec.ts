// The part that Topic and Tenant share: policies as objects say them, and what of them differs at the broker. Pure.
import type { Policy, PolicyField } from '../../client/src/index.ts';
import { durationMs, sizeBytes } from './amounts.ts';

export interface PolicySpec {
  readonly retention?: {
    readonly age?: string;
    readonly bytes?: string | number;
    readonly forever?: boolean;
    readonly unackedAge?: string;
  };
  readonly tiering?: { readonly hotAge?: string; readonly hotBytes?: string | number };
  readonly backlogQuota?: {
    readonly bytes: string | number;
    readonly policy: 'RefusePublish' | 'DropOldest';
  };
  readonly batchBytesMax?: string | number;
  readonly timeToLive?: string;
}

export interface PolicyDifference {
  readonly patch: Partial<Policy>;
  readonly inherit: readonly PolicyField[];
}

const fields = [
  'retention',
  'tiering',
  'backlogQuota',
  'batchBytesMax',
  'timeToLiveMs',
] as const satisfies readonly PolicyField[];

/** As the broker has it; what is left out is left out. */
export function policyOf(spec: PolicySpec): Partial<Policy> {
  const { retention, tiering, backlogQuota, batchBytesMax, timeToLive } = spec;
  return {
    ...(retention !== undefined && {
      retention: {
        ageMs: durationMs(retention.age ?? '0s'),
        bytes: sizeBytes(retention.bytes ?? 0),
        forever: retention.forever ?? false,
        unackedAgeMs: durationMs(retention.unackedAge ?? '0s'),
      },
    }),
    ...(tiering !== undefined && {
      tiering: {
        hotAgeMs: durationMs(tiering.hotAge ?? '0s'),
        hotBytes: sizeBytes(tiering.hotBytes ?? 0),
      },
    }),
    ...(backlogQuota !== undefined && {
      backlogQuota: {
        bytes: sizeBytes(backlogQuota.bytes),
        policy: backlogQuota.policy === 'DropOldest' ? 'drop-oldest' : 'refuse-publish',
      },
    }),
    ...(batchBytesMax !== undefined && { batchBytesMax: sizeBytes(batchBytesMax) }),
    ...(timeToLive !== undefined && { timeToLiveMs: durationMs(timeToLive) }),
  };
}

/** What has to be said, and said no longer, so that the broker has what is desired. */
export function policyDifference(
  desired: Partial<Policy>,
  said: Partial<Policy>,
): PolicyDifference {
  const patch: { -readonly [F in PolicyField]?: Policy[F] } = {};
  const inherit: PolicyField[] = [];
  const compare = <F extends PolicyField>(field: F): void => {
    const wanted: Partial<Policy>[F] = desired[field];
    if (wanted === undefined) {
      if (said[field] !== undefined) inherit.push(field);
    } else if (!isSame(wanted, said[field])) patch[field] = wanted;
  };
  for (const field of fields) compare(field);
  return { patch, inherit };
}

/** Of plain values: one number, text or flag, or an object of such. */
export function isSame(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b;
  const [one, other] = [a as Record<string, unknown>, b as Record<string, unknown>];
  const names = Object.keys(one);
  return (
    names.length === Object.keys(other).length &&
    names.every((name) => isSame(one[name], other[name]))
  );
}
