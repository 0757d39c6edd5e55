// Whether a Topic object may act at all: the boundary of its tenant, and objects that describe the same topic. Pure.
//
// Invariants:
// - Only the oldest of those that their tenant lets in acts; one that it does not let in is in nobody's way.
// - No Tenant object, no right: whoever may write a Topic in some namespace reaches no tenant by it.
import type { TenantObject } from './tenant-object.ts';
import type { TopicObject } from './topic-object.ts';

export type Standing =
  /** `givingWay`: uids of the others. */
  | { readonly kind: 'acts'; readonly givingWay: ReadonlySet<string> }
  | { readonly kind: 'refused'; readonly reason: StandingReason; readonly message: string };

export type StandingReason =
  'TenantNotFound' | 'TenantDeleted' | 'NamespaceNotAllowed' | 'Conflict';

/** `others`: that describe the same topic. */
export function standingOf(
  object: TopicObject,
  tenant: TenantObject | undefined,
  others: readonly TopicObject[],
): Standing {
  const { namespace = '' } = object.metadata;
  const name = object.spec.tenant;
  if (tenant === undefined) {
    return refused(
      'TenantNotFound',
      `there is no Tenant ${name}; make one that lists ${namespace}`,
    );
  }
  if (!letsIn(tenant, object)) {
    const message =
      `Tenant ${name} does not list Kubernetes namespace ${namespace} in spec.kubernetesNamespaces; ` +
      'ask its owner to add it';
    return refused('NamespaceNotAllowed', message);
  }
  if (tenant.metadata.deletionTimestamp !== undefined && !isDeleted(object)) {
    return refused('TenantDeleted', `Tenant ${name} is being deleted; delete this Topic too`);
  }
  if (object.spec.managementPolicy === 'Observe') return { kind: 'acts', givingWay: new Set() };
  const rivals = others.filter(
    (other) => other.spec.managementPolicy === 'Full' && letsIn(tenant, other),
  );
  const older = rivals.find((other) => isOlder(other, object));
  if (older !== undefined) {
    const path = `${older.metadata.namespace ?? ''}/${older.metadata.name}`;
    return refused('Conflict', `Topic ${path} is older and describes the same topic; delete one`);
  }
  return { kind: 'acts', givingWay: new Set(rivals.map(({ metadata }) => metadata.uid)) };
}

function letsIn({ spec }: TenantObject, { metadata }: TopicObject): boolean {
  return spec.kubernetesNamespaces?.includes(metadata.namespace ?? '') === true;
}

function isOlder({ metadata: a }: TopicObject, { metadata: b }: TopicObject): boolean {
  const [madeA, madeB] = [a.creationTimestamp ?? '', b.creationTimestamp ?? ''];
  return madeA === madeB ? a.uid < b.uid : madeA < madeB;
}

function isDeleted({ metadata }: TopicObject): boolean {
  return metadata.deletionTimestamp !== undefined;
}

function refused(reason: StandingReason, message: string): Standing {
  return { kind: 'refused', reason, message };
}
