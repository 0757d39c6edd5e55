// Random commands on a catalog with a journal of bytes, against the model. Checkpoints are written an entry at a
// time between commands, and a restart replays from any place that a recovery may begin at.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeCatalogCheckpoint,
  decodeCatalogEvent,
  encodeCatalogCheckpoint,
  encodeCatalogEvent,
} from '../../broker/catalog/catalog-entries.ts';
import type {
  CatalogCheckpointEntry,
  CatalogEvent,
  Tombstone,
} from '../../broker/catalog/catalog-events.ts';
import { CatalogState } from '../../broker/catalog/catalog-state.ts';
import {
  parseSubscriptionName,
  parseTenantName,
  parseTopicName,
  type SubscriptionName,
  type TenantName,
  type TopicName,
} from '../../broker/catalog/names.ts';
import {
  planApplySubscription,
  planDeleteSubscription,
  planSubscriptionDropped,
} from '../../broker/catalog/subscription-plan.ts';
import { planApplyTenant, planDeleteTenant } from '../../broker/catalog/tenant-plan.ts';
import {
  planApplyTopic,
  planDeleteTopic,
  planTopicDropped,
} from '../../broker/catalog/topic-plan.ts';
import { defined } from '../../broker/core/assert.ts';
import { BrokerError } from '../../broker/core/errors.ts';
import { CatalogModel, viewOf, type Outcome } from './catalog-model.ts';

interface Entry {
  readonly type: 'event' | 'checkpoint';
  readonly bytes: Buffer;
}

type Plan = { readonly events: readonly CatalogEvent[] };

/** The catalog as a broker runs it: plan, journal, apply; checkpoints in between; recovery. */
class JournaledCatalog {
  state = new CatalogState(['0', '1']);
  readonly journal: Entry[] = [];
  /** Where the newest complete checkpoint begins. */
  checkpointAt = 0;
  private running: { entries: Iterator<CatalogCheckpointEntry, void>; at: number } | undefined;

  run<T extends Plan>(plan: T): T {
    for (const event of plan.events) {
      this.journal.push({ type: 'event', bytes: encodeCatalogEvent(event) });
      this.state.apply(event);
    }
    return plan;
  }

  checkpointStep(entryCount: number): void {
    this.running ??= { entries: this.state.checkpoint(), at: this.journal.length };
    for (let i = 0; i < entryCount; i++) {
      const next = this.running.entries.next();
      if (next.done === true) {
        this.checkpointAt = this.running.at;
        this.running = undefined;
        return;
      }
      this.journal.push({ type: 'checkpoint', bytes: encodeCatalogCheckpoint(next.value) });
    }
  }

  restart(at: number): void {
    const { state: before } = this;
    this.state = replay(this.journal.slice(at));
    this.running = undefined;
    expect(contents(this.state)).toEqual(contents(before));
  }
}

function replay(entries: readonly Entry[]): CatalogState {
  const state = new CatalogState(['0', '1']);
  for (const { type, bytes } of entries) {
    if (type === 'event') state.apply(decodeCatalogEvent(bytes));
    else state.restore(decodeCatalogCheckpoint(bytes));
  }
  state.check();
  return state;
}

/** All that is durable; the order of a Map after a replay may differ. */
function contents(state: CatalogState): unknown {
  return {
    counters: state.counters,
    tenants: [...state.tenants.all()].sort((a, b) => a.id - b.id),
    namespaces: ['public/default', 'public/x', 'acme/x', 'acme/y'].map((scope) =>
      state.amountsOf(scope),
    ),
    topics: [...state.topics()].sort((a, b) => a.id - b.id),
    subscriptions: [...state.subscriptions()].sort((a, b) => a.id - b.id),
    tombstones: [...state.tombstones()].sort((a, b) => idOf(a) - idOf(b)),
    partitions: [state.partitionCount('0'), state.partitionCount('1')],
    view: viewOf(state),
  };
}

/** Topics and subscriptions apart, each by its number. */
function idOf(tombstone: Tombstone): number {
  return tombstone.of === 'topic' ? -Number(tombstone.topicId) : tombstone.subscriptionId;
}

const names = ['a', 'b', 'public/x/a', 'acme/x/a', 'acme/y/a'];
const tenantNames = ['public', 'acme', 'beta'];
const subscriptionNames = ['s', 't'];
const revisionOf = fc.constantFrom('any', 'any', 'any', 'absent', 'current', 'stale');
const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(arbitrary, { nil: undefined });

const command = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      verb: fc.constant('applyTenant' as const),
      name: fc.constantFrom(...tenantNames),
      topicsMax: maybe(fc.nat(3)),
      subscriptionsMax: maybe(fc.nat(3)),
      revision: revisionOf,
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      verb: fc.constant('deleteTenant' as const),
      name: fc.constantFrom(...tenantNames),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      verb: fc.constant('applyTopic' as const),
      name: fc.constantFrom(...names),
      partitions: maybe(fc.nat(3)),
      batchBytesMax: maybe(fc.constantFrom(1, 1024, 2048)),
      revision: revisionOf,
      dryRun: fc.boolean(),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      verb: fc.constant('deleteTopic' as const),
      name: fc.constantFrom(...names),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      verb: fc.constant('applySubscription' as const),
      topic: fc.constantFrom(...names),
      name: fc.constantFrom(...subscriptionNames),
      kind: maybe(fc.constantFrom('stream' as const, 'queue' as const)),
      ackDeadlineMs: maybe(fc.constantFrom(1, 1000, 2000)),
      paused: maybe(fc.boolean()),
      revision: revisionOf,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      verb: fc.constant('deleteSubscription' as const),
      topic: fc.constantFrom(...names),
      name: fc.constantFrom(...subscriptionNames),
    }),
  },
  { weight: 2, arbitrary: fc.record({ verb: fc.constant('drop' as const), which: fc.nat(9) }) },
  {
    weight: 6,
    arbitrary: fc.record({
      verb: fc.constant('checkpoint' as const),
      entries: fc.integer({ min: 1, max: 3 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ verb: fc.constant('restart' as const), back: fc.nat(20) }),
  },
);
type Command = typeof command extends fc.Arbitrary<infer T> ? T : never;

/** One run: the real thing and the model, side by side. */
class History {
  readonly catalog = new JournaledCatalog();
  readonly model = new CatalogModel();
  private readonly idsSeen = new Set<string>();
  private revisionMax = 0;

  run(step: Command): void {
    switch (step.verb) {
      case 'applyTenant':
        this.applyTenant(step);
        break;
      case 'deleteTenant':
        this.deleteTenant(parseTenantName(step.name));
        break;
      case 'applyTopic':
        this.applyTopic(step);
        break;
      case 'deleteTopic':
        this.deleteTopic(parseTopicName(step.name));
        break;
      case 'applySubscription':
        this.applySubscription(step);
        break;
      case 'deleteSubscription':
        this.deleteSubscription(parseTopicName(step.topic), parseSubscriptionName(step.name));
        break;
      case 'drop':
        this.drop(step.which);
        break;
      case 'checkpoint':
        this.catalog.checkpointStep(step.entries);
        break;
      case 'restart':
        this.catalog.restart(Math.max(0, this.catalog.checkpointAt - step.back));
    }
    expect(viewOf(this.catalog.state)).toEqual(this.model.view());
  }

  private applyTenant(step: Command & { readonly verb: 'applyTenant' }): void {
    const { state } = this.catalog;
    const name = parseTenantName(step.name);
    const revision = this.revision(step.revision, this.model.tenant(name)?.revision);
    const quota = { topics: step.topicsMax, subscriptions: step.subscriptionsMax };
    const request = { name, spec: { quota }, revision };
    const plan = outcomeOf(() => this.catalog.run(planApplyTenant(state, request, 5)));
    expect(appliedOutcome(plan)).toBe(this.model.applyTenant({ ...step, revision }));
    if (typeof plan === 'string' || plan.events.length === 0) return;
    const { id } = plan.tenant;
    if (plan.created) this.takeId('tenant', id);
    const made = defined(this.model.tenant(name), 'tenant of the model');
    Object.assign(made, { id, revision: this.rises(plan.tenant.revision) });
  }

  private deleteTenant(name: TenantName): void {
    const plan = outcomeOf(() => this.catalog.run(planDeleteTenant(this.catalog.state, name)));
    expect(typeof plan === 'string' ? plan : 'done').toBe(this.model.deleteTenant(name));
  }

  private applyTopic(step: Command & { readonly verb: 'applyTopic' }): void {
    const { state } = this.catalog;
    const name = parseTopicName(step.name);
    const before = this.model.find(name.full);
    const partitionsBefore = before?.partitions ?? 0;
    const revision = this.revision(step.revision, before?.revision);
    const request = { name, spec: step, revision };
    if (step.dryRun) {
      const dry = outcomeOf(() => planApplyTopic(state, { ...request, dryRun: true }, 5));
      if (typeof dry !== 'string') expect(dry.events).toEqual([]);
    }
    const plan = outcomeOf(() => this.catalog.run(planApplyTopic(state, request, 5)));
    const wish = { ...step, name: name.full, revision };
    expect(appliedOutcome(plan)).toBe(this.model.applyTopic(wish));
    if (typeof plan === 'string' || plan.events.length === 0) return;
    const { id, partitions, tenantId } = plan.topic;
    expect(tenantId).toBe(this.model.tenant(name.tenant)?.id);
    if (plan.created) this.takeId('topic', id);
    for (const added of partitions.slice(partitionsBefore)) this.takeId('partition', added);
    const topic = defined(this.model.find(name.full), 'topic of the model');
    Object.assign(topic, { id, revision: this.rises(plan.topic.revision) });
  }

  private deleteTopic(name: TopicName): void {
    const plan = outcomeOf(() => this.catalog.run(planDeleteTopic(this.catalog.state, name)));
    expect(typeof plan === 'string' ? plan : 'done').toBe(this.model.deleteTopic(name.full));
  }

  private applySubscription(step: Command & { readonly verb: 'applySubscription' }): void {
    const { state } = this.catalog;
    const topic = parseTopicName(step.topic);
    const name = parseSubscriptionName(step.name);
    const revision = this.revision(
      step.revision,
      this.model.subscription(topic.full, name)?.revision,
    );
    const request = { topic, name, spec: step, revision };
    const plan = outcomeOf(() => this.catalog.run(planApplySubscription(state, request, 5)));
    const wish = { ...step, topic: topic.full, revision };
    expect(appliedOutcome(plan)).toBe(this.model.applySubscription(wish));
    if (typeof plan === 'string' || plan.events.length === 0) return;
    const { id } = plan.subscription;
    if (plan.created) this.takeId('subscription', id);
    const made = defined(this.model.subscription(topic.full, name), 'subscription of the model');
    Object.assign(made, { id, revision: this.rises(plan.subscription.revision) });
  }

  private deleteSubscription(topic: TopicName, name: SubscriptionName): void {
    const plan = outcomeOf(() =>
      this.catalog.run(planDeleteSubscription(this.catalog.state, topic, name)),
    );
    expect(typeof plan === 'string' ? plan : 'done').toBe(
      this.model.deleteSubscription(topic.full, name),
    );
  }

  /** One shard says that it has dropped its part of one tombstone. */
  private drop(which: number): void {
    const { state } = this.catalog;
    const tombstones = [...state.tombstones()];
    const tombstone = tombstones[which % Math.max(1, tombstones.length)];
    const part = tombstone?.pending[which % tombstone.pending.length];
    if (tombstone === undefined || part === undefined) return;
    const last = tombstone.pending.length === 1;
    if (tombstone.of === 'topic') {
      this.catalog.run({ events: planTopicDropped(state, tombstone.topicId, part.shard) });
      if (last) this.forget(`topic ${tombstone.topicId}`);
    } else {
      const { subscriptionId } = tombstone;
      this.catalog.run({ events: planSubscriptionDropped(state, subscriptionId, part.shard) });
      if (last) this.forget(`subscription ${subscriptionId}`);
    }
  }

  private forget(tombstone: string): void {
    this.model.tombstones = this.model.tombstones.filter((other) => other !== tombstone);
  }

  private revision(choice: string, current: number | undefined): string {
    if (choice === 'any') return '';
    if (choice === 'absent') return '0';
    return String((current ?? 0) + (choice === 'stale' ? 1_000 : 0));
  }

  private takeId(kind: string, id: number): void {
    expect(this.idsSeen.has(`${kind} ${id}`)).toBe(false);
    this.idsSeen.add(`${kind} ${id}`);
  }

  private rises(revision: number): number {
    expect(revision).toBeGreaterThan(this.revisionMax);
    this.revisionMax = revision;
    return revision;
  }
}

function outcomeOf<T>(call: () => T): T | Outcome {
  try {
    return call();
  } catch (thrown) {
    if (thrown instanceof BrokerError) return thrown.reason;
    throw thrown;
  }
}

function appliedOutcome(plan: (Plan & { readonly created: boolean }) | Outcome): Outcome {
  if (typeof plan === 'string') return plan;
  if (plan.created) return 'created';
  return plan.events.length > 0 ? 'changed' : 'same';
}

describe('the catalog', () => {
  it('answers like the model and is the same after every restart', () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 80, size: 'max' }), (steps) => {
        const history = new History();
        for (const step of steps) history.run(step);
        history.catalog.restart(history.catalog.checkpointAt);
        history.catalog.restart(0);
      }),
      { numRuns: 300 },
    );
  });

  it('refuses a checkpoint entry that is older than an event before it', () => {
    const catalog = new JournaledCatalog();
    const apply = (batchBytesMax: number): void => {
      const request = { name: parseTopicName('a'), spec: { batchBytesMax } };
      catalog.run(planApplyTopic(catalog.state, request, 5));
    };
    apply(1024);
    const older = [...catalog.state.checkpoint()].find(({ kind }) => kind === 'topic');
    if (older === undefined) throw new Error('no entry');
    apply(2048);
    catalog.journal.push({ type: 'checkpoint', bytes: encodeCatalogCheckpoint(older) });
    expect(() => replay(catalog.journal)).toThrow('an event before it');
  });

  it('says DATA_LOSS when a subscription comes back without its topic', () => {
    const catalog = new JournaledCatalog();
    catalog.run(planApplyTopic(catalog.state, { name: parseTopicName('a'), spec: {} }, 5));
    const name = parseSubscriptionName('s');
    const request = { topic: parseTopicName('a'), name, spec: { kind: 'queue' as const } };
    catalog.run(planApplySubscription(catalog.state, request, 5));
    const reason = outcomeOf(() => replay(catalog.journal.slice(1)));
    expect(reason).toBe('DATA_LOSS');
  });
});
