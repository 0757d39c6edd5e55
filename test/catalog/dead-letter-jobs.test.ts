// Jobs on dead letters in the catalog: what may start, how many there are, and with what they go away.
import { describe, expect, it } from 'vitest';
import type { CatalogEvent } from '../../broker/catalog/catalog-events.ts';
import { planEndJob, planStartJob } from '../../broker/catalog/dead-letter-job-plan.ts';
import {
  noFigures,
  type DeadLetterFilter,
  type DeadLetterJobSpec,
} from '../../broker/catalog/dead-letter-job.ts';
import { parseSubscriptionName, parseTopicName } from '../../broker/catalog/names.ts';
import { limits } from '../../broker/core/limits.ts';
import { reasonOf } from '../support/reason-of.ts';
import { CatalogFixture } from './catalog-fixture.ts';

const any: DeadLetterFilter = {
  reasons: [],
  key: undefined,
  headers: [],
  sinceMs: 0,
  untilMs: 0,
  originTopic: '',
  originSubscription: '',
};
const redrive: DeadLetterJobSpec = {
  action: 'redrive',
  filter: any,
  to: '',
  recordsPerSecondMax: 0,
  dryRun: false,
};

function catalog(kind: 'queue' | 'keyed_queue' | 'stream' = 'queue') {
  const fixture = new CatalogFixture();
  fixture.applyTopic('failed');
  fixture.applySubscription('failed', 'dead-letters', { kind });
  const { state } = fixture;
  const take = (plan: { readonly events: readonly CatalogEvent[] }): void => {
    for (const event of plan.events) state.apply(event);
  };
  return {
    fixture,
    state,
    start: (spec: Partial<DeadLetterJobSpec> = {}) => {
      const topic = state.requireTopic(parseTopicName('failed'));
      const holder = state.requireSubscription(topic, parseSubscriptionName('dead-letters'));
      const plan = planStartJob(state, topic, holder, { ...redrive, ...spec }, [9], 1_000);
      take(plan);
      return plan.job;
    },
    end: (id: number) =>
      take(planEndJob(state, id, 'done', { ...noFigures, scanned: 9, done: 9 }, 2_000)),
    jobs: () => [...state.deadLetterJobs.all()],
  };
}

describe('a job', () => {
  it('runs until it is ended, once, with its figures', () => {
    const { start, end, jobs, state } = catalog();
    const { id } = start({ filter: { ...any, originTopic: 'a' }, to: 'b' });
    expect(jobs()).toMatchObject([
      {
        id,
        state: 'running',
        until: [9],
        to: 'public/default/b',
        filter: { originTopic: 'public/default/a' },
      },
    ]);
    end(id);
    expect(jobs()).toMatchObject([{ id, state: 'done', endedAtMs: 2_000, figures: { done: 9 } }]);
    expect(planEndJob(state, id, 'cancelled', noFigures, 3_000).events).toEqual([]);
    expect(planEndJob(state, 99, 'cancelled', noFigures, 3_000).events).toEqual([]);
  });

  it('never gets the number of another one', () => {
    const { start, fixture } = catalog();
    const first = start();
    const topic = fixture.applyTopic('other').topic;
    const second = start();
    expect(new Set([first.id, topic.revision, second.id]).size).toBe(3);
  });

  const filter = (patch: Partial<DeadLetterFilter>) => ({ filter: { ...any, ...patch } });
  it.each([
    ['SPEC_INVALID', { to: 'failed' }],
    ['SPEC_INVALID', { to: 'acme/x/y' }],
    ['SPEC_INVALID', { action: 'purge', to: 'b' }],
    ['NAME_INVALID', { to: '-' }],
    ['SPEC_INVALID', { recordsPerSecondMax: 1_000_001 }],
    ['SPEC_INVALID', filter({ key: new Uint8Array(1_025) })],
    ['SPEC_INVALID', filter({ sinceMs: 5, untilMs: 5 })],
    ['NAME_INVALID', filter({ originTopic: 'a/b' })],
    ['NAME_INVALID', filter({ originSubscription: 'a/b' })],
    ['SPEC_INVALID', filter({ headers: [{ name: '', value: new Uint8Array(0) }] })],
    [
      'SPEC_INVALID',
      filter({
        headers: Array.from({ length: 17 }, () => ({ name: 'a', value: Buffer.from('') })),
      }),
    ],
  ] as const)('is refused with %s for %j', (reason, spec) => {
    const { start, jobs } = catalog();
    expect(reasonOf(() => start(spec))).toBe(reason);
    expect(jobs()).toEqual([]);
  });

  it.each(['keyed_queue', 'stream'] as const)('is refused on a %s', (kind) => {
    const { start } = catalog(kind);
    expect(reasonOf(() => start())).toBe('SUBSCRIPTION_KIND_MISMATCH');
  });

  it('goes with its topic, and with its subscription', () => {
    for (const remove of ['topic', 'subscription'] as const) {
      const { start, jobs, fixture } = catalog();
      start();
      if (remove === 'topic') fixture.deleteTopic('failed');
      else fixture.deleteSubscription('failed', 'dead-letters');
      expect(jobs()).toEqual([]);
    }
  });
});

describe('jobs of a topic', () => {
  it('are so many at a time, and the oldest that ended makes room', () => {
    const { start, end, jobs } = catalog();
    const running = Array.from({ length: limits.deadLetterJobsRunningMax }, () => start().id);
    expect(reasonOf(() => start())).toBe('LIMIT_REACHED');
    for (const id of running.slice(1)) end(id);
    for (let i = 0; i < limits.deadLetterJobsKept; i++) end(start().id);
    const kept = jobs().map(({ id }) => id);
    expect(kept).toHaveLength(limits.deadLetterJobsKept);
    expect(kept).toContain(running[0]);
    expect(kept).not.toContain(running[1]);
  });

  it('come back from a checkpoint', () => {
    const { start, end, state, jobs } = catalog();
    end(start().id);
    start();
    const again = new CatalogFixture().state;
    for (const entry of state.checkpoint()) again.restore(entry);
    expect([...again.deadLetterJobs.all()]).toEqual(jobs());
    expect(again.counters).toEqual(state.counters);
  });
});
