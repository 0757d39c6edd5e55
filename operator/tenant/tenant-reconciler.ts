// One Tenant object: observe, plan, apply, observe again, tell; and what happens when it is deleted.
//
// Invariants: as of topic-reconciler.ts and topic-finalizer.ts. A tenant with topics is never deleted: the object waits
// until they are gone, or until its deletionPolicy is Retain.
import {
  MillraceError,
  type Client,
  type DescribedTenant,
  type Grant,
} from '../../client/src/index.ts';
import { isKubeFailure } from '../kube/kube-error.ts';
import type { Resource } from '../kube/resource.ts';
import { isMissing, lookAgain, outcomeOfFailure } from '../objects/broker-failure.ts';
import { wasReady, type Outcome } from '../objects/conditions.ts';
import { isOwnedBy } from '../objects/ownership.ts';
import {
  afterDrift,
  hasFinalizer,
  isOverdue,
  tellDrift,
  tellLeftBehind,
  withFinalizer,
  withoutFinalizer,
  type Surroundings,
} from '../objects/surroundings.ts';
import type { TenantObject } from '../objects/tenant-object.ts';
import type { Reconciled } from '../runtime/controller.ts';
import type { ObjectCache } from '../runtime/object-cache.ts';
import { grantText, type GrantAction } from './grants-plan.ts';
import { planTenant, planTenantRelease, type TenantAction } from './tenant-plan.ts';
import { nextTenantStatus } from './tenant-status.ts';

export interface TenantParts extends Surroundings {
  readonly tenants: Resource<TenantObject>;
  readonly tenantCache: ObjectCache<TenantObject>;
}

const looksMax = 4;

export class TenantReconciler {
  private readonly parts: TenantParts;

  constructor(parts: TenantParts) {
    this.parts = parts;
  }

  async reconcile(key: string): Promise<Reconciled> {
    const object = this.parts.tenantCache.get(key);
    if (object === undefined) return { again: 'never' };
    try {
      return object.metadata.deletionTimestamp === undefined
        ? await this.bringAbout(object)
        : await this.finalize(object);
    } catch (thrown) {
      if (isKubeFailure(thrown, 'not_found')) return { again: 'never' };
      // Somebody wrote the object meanwhile: the watch tells.
      if (isKubeFailure(thrown, 'conflict')) return { again: 'retry' };
      throw thrown;
    }
  }

  private async bringAbout(given: TenantObject): Promise<Reconciled> {
    let object = given;
    if (object.spec.managementPolicy === 'Full' && !hasFinalizer(object)) {
      object = await this.parts.tenants.setFinalizers(object, withFinalizer(object));
    }
    const { tenant, outcome } = await this.settle(object);
    await this.tell(object, tenant, outcome);
    const isDone = outcome.kind === 'ready' || outcome.kind === 'refused';
    return isDone ? afterDrift(this.parts) : { again: 'retry' };
  }

  private async settle(
    object: TenantObject,
  ): Promise<{ readonly tenant: DescribedTenant | undefined; readonly outcome: Outcome }> {
    const { broker, server } = this.parts;
    const { name } = object.metadata;
    const changes: string[] = [];
    let tenant: DescribedTenant | undefined;
    for (let look = 1; look <= looksMax; look++) {
      try {
        tenant = await tenantOrNone(broker, name);
        const grants = tenant === undefined ? [] : await grantsOf(broker, object);
        const plan = planTenant(object, { tenant, grants });
        if (plan.kind === 'refused') return { tenant, outcome: plan };
        if (plan.actions.length === 0) {
          if (changes.length > 0 && wasReady(object)) await tellDrift(this.parts, object, changes);
          return { tenant, outcome: { kind: 'ready' } };
        }
        for (const action of plan.actions) changes.push(...(await act(broker, name, action)));
      } catch (thrown) {
        const outcome = outcomeOfFailure(thrown, server);
        if (outcome !== lookAgain) return { tenant, outcome };
      }
    }
    const message = 'something else changes the tenant again and again';
    return { tenant, outcome: { kind: 'failed', reason: 'Changing', message } };
  }

  private async finalize(seen: TenantObject): Promise<Reconciled> {
    const { tenants } = this.parts;
    if (!hasFinalizer(seen)) return { again: 'never' };
    // The cache may be behind.
    const object = await tenants.get(seen.metadata);
    if (object.metadata.uid !== seen.metadata.uid || !hasFinalizer(object)) {
      return { again: 'never' };
    }
    const outcome =
      object.spec.deletionPolicy === 'Delete'
        ? await this.remove(object)
        : await this.retain(object);
    if (outcome !== 'done') {
      await this.tell(object, undefined, outcome);
      return { again: 'retry' };
    }
    await tenants.setFinalizers(object, withoutFinalizer(object));
    return { again: 'never' };
  }

  private async retain(object: TenantObject): Promise<'done'> {
    const { broker, server } = this.parts;
    const { name } = object.metadata;
    try {
      const release = planTenantRelease(object, await tenantOrNone(broker, name));
      if (release === undefined) return 'done';
      await broker.tenants.apply(name, release.patch, { revision: release.revision });
    } catch (thrown) {
      const outcome = outcomeOfFailure(thrown, server);
      const why = outcome === lookAgain ? 'it was changed meanwhile' : outcome.message;
      await tellLeftBehind(this.parts, object, `the label of this object on tenant ${name}`, why);
    }
    return 'done';
  }

  private async remove(object: TenantObject): Promise<Outcome | 'done'> {
    const { broker, server } = this.parts;
    const { name } = object.metadata;
    const what = `tenant ${name}`;
    try {
      const tenant = await tenantOrNone(broker, name);
      if (tenant === undefined) return 'done';
      if (!isOwnedBy(tenant.labels, object)) {
        await tellLeftBehind(this.parts, object, what, 'this object does not manage it');
        return 'done';
      }
      await broker.tenants.delete(name, { tenantId: tenant.tenantId });
      return 'done';
    } catch (thrown) {
      if (thrown instanceof MillraceError && thrown.reason === 'TENANT_NOT_EMPTY') {
        const message = 'it has topics; delete them, or set deletionPolicy: Retain to let it go';
        return { kind: 'refused', reason: 'TenantNotEmpty', message };
      }
      const outcome = outcomeOfFailure(thrown, server);
      if (outcome === lookAgain) {
        return { kind: 'failed', reason: 'Deleting', message: 'it was changed meanwhile' };
      }
      if (!isOverdue(this.parts, object)) return outcome;
      await tellLeftBehind(this.parts, object, what, outcome.message);
      return 'done';
    }
  }

  private async tell(
    object: TenantObject,
    tenant: DescribedTenant | undefined,
    outcome: Outcome,
  ): Promise<void> {
    const { tenants, timing } = this.parts;
    const status = nextTenantStatus(object, tenant, outcome, timing.wallMs());
    if (status !== undefined) await tenants.applyStatus(object, status);
  }
}

/** Answers what it changed. */
async function act(
  broker: Client,
  tenant: string,
  action: TenantAction | GrantAction,
): Promise<readonly string[]> {
  switch (action.kind) {
    case 'apply': {
      const { patch, revision } = action;
      return (await broker.tenants.apply(tenant, patch, { revision })).changes;
    }
    case 'grant':
      await broker.access.grant(action.principal, action.scope, action.roles);
      return [grantText(action)];
    case 'revoke':
      await broker.access.revoke(action.principal, action.scope, action.roles);
      return [grantText(action)];
  }
}

async function grantsOf(broker: Client, { spec, metadata }: TenantObject): Promise<Grant[]> {
  if (spec.grants === undefined) return [];
  return Array.fromAsync(broker.access.grants({ scope: metadata.name }));
}

async function tenantOrNone(broker: Client, name: string): Promise<DescribedTenant | undefined> {
  try {
    return await broker.tenants.get(name);
  } catch (thrown) {
    if (isMissing(thrown)) return undefined;
    throw thrown;
  }
}
