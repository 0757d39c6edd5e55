// The status of a Tenant object, from what was seen last.
//
// Invariant: live figures alone cause no write until they have moved far (amounts.ts).
import { isDeepStrictEqual } from 'node:util';
import type { DescribedTenant } from '../../client/src/index.ts';
import { coarseCount, coarseSize, isFar, sizeBytes } from '../objects/amounts.ts';
import { conditionsOf, type Outcome } from '../objects/conditions.ts';
import type { TenantObject, TenantObjectStatus } from '../objects/tenant-object.ts';

/** Undefined: nothing in it is worth a write. `tenant` undefined: it was not seen. */
export function nextTenantStatus(
  object: TenantObject,
  tenant: DescribedTenant | undefined,
  outcome: Outcome,
  nowMs: number,
): TenantObjectStatus | undefined {
  const before = object.status ?? {};
  const { tenantId, topics, stored } = tenant === undefined ? before : seenOf(tenant);
  const status: TenantObjectStatus = {
    observedGeneration: object.metadata.generation ?? 0,
    ...(tenantId !== undefined && { tenantId }),
    ...(topics !== undefined && { topics }),
    ...(stored !== undefined && { stored }),
    conditions: conditionsOf(object, outcome, nowMs),
  };
  const isQuiet = tenant === undefined || !haveMoved(before, tenant);
  return isQuiet && isDeepStrictEqual(withoutFigures(status), withoutFigures(before))
    ? undefined
    : status;
}

function seenOf({ tenantId, usage }: DescribedTenant) {
  const { topics, storedBytes } = usage;
  return { tenantId, topics: coarseCount(topics), stored: coarseSize(storedBytes) };
}

function haveMoved(before: TenantObjectStatus, { usage }: DescribedTenant): boolean {
  return (
    isFar(Number(before.topics ?? 0), usage.topics) ||
    isFar(sizeBytes(before.stored ?? 0), usage.storedBytes)
  );
}

function withoutFigures({ topics: _t, stored: _s, ...rest }: TenantObjectStatus) {
  return rest;
}
