// Inheritance as it is meant, stated apart from the code: of each field the nearest level that says it wins.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseNamespaceName, parseTopicName } from '../../broker/catalog/names.ts';
import {
  effectivePolicy,
  patchPolicy,
  policyDefaults,
  policyFields,
  policyFieldsNamed,
  policyLevels,
  type Policy,
  type SaidPolicy,
} from '../../broker/catalog/policy.ts';
import { topicPolicy } from '../../broker/catalog/topic-policy.ts';
import { reasonOf } from '../support/reason-of.ts';
import { CatalogFixture } from './catalog-fixture.ts';

const whole: fc.Arbitrary<Policy> = fc.record({
  retention: fc.record({
    ageMs: fc.nat(3),
    bytes: fc.nat(3),
    forever: fc.constant(false),
    unackedAgeMs: fc.constant(0),
  }),
  tiering: fc.record({ hotAgeMs: fc.nat(3), hotBytes: fc.nat(3) }),
  backlogQuota: fc.record({
    bytes: fc.nat(3),
    policy: fc.constantFrom('refuse_publish' as const, 'drop_oldest' as const),
  }),
  batchBytesMax: fc.integer({ min: 1024, max: 1030 }),
  timeToLiveMs: fc.nat(3),
});
const said: fc.Arbitrary<SaidPolicy> = fc
  .tuple(whole, fc.subarray([...policyFields]))
  .map(([policy, fields]) => Object.fromEntries(fields.map((field) => [field, policy[field]])));

describe('what is in force', () => {
  it('is what the nearest level says, field by field, with its level', () => {
    const levels = fc.record({ tenant: said, namespace: said, topic: said });
    fc.assert(
      fc.property(whole, levels, (cluster, levelsSaid) => {
        const { values, sources } = effectivePolicy(cluster, levelsSaid);
        const byLevel: Record<string, SaidPolicy> = { cluster, ...levelsSaid };
        for (const field of policyFields) {
          const saying = policyLevels.filter((level) => byLevel[level]?.[field] !== undefined);
          const nearest = saying.at(-1);
          expect(sources[field]).toBe(nearest);
          expect(values[field]).toEqual(byLevel[nearest ?? '']?.[field]);
        }
      }),
    );
  });

  it('follows every change at any level, and nothing else', () => {
    const steps = fc.array(
      fc.tuple(
        fc.constantFrom('tenant', 'namespace', 'topic', 'other namespace', 'other tenant'),
        said,
        fc.subarray([...policyFields]),
      ),
      { maxLength: 12 },
    );
    fc.assert(
      fc.property(steps, (changes) => {
        const catalog = new CatalogFixture();
        const name = 'acme/billing/a';
        catalog.applyTenant('acme');
        catalog.applyTenant('other');
        catalog.applyTopic(name);
        const model: Record<string, SaidPolicy> = { tenant: {}, namespace: {}, topic: {} };
        for (const [level, policy, forget] of changes) {
          const inherit = forget.filter((field) => policy[field] === undefined);
          const scope = { policy, inherit };
          const at = (namespace: string) => new Map([[parseNamespaceName(namespace), scope]]);
          if (level === 'tenant') catalog.applyTenant('acme', scope);
          else if (level === 'namespace')
            catalog.applyTenant('acme', { namespaces: at('billing') });
          else if (level === 'topic') catalog.applyTopic(name, { ...policy, inherit });
          else if (level === 'other tenant') catalog.applyTenant('other', scope);
          else catalog.applyTenant('acme', { namespaces: at('billings') });
          const before = Object.entries(model[level] ?? {}).filter(
            ([field]) => !(inherit as string[]).includes(field),
          );
          if (level in model) model[level] = { ...Object.fromEntries(before), ...policy };
        }
        const topic = catalog.state.requireTopic(parseTopicName(name));
        const tenant = catalog.state.tenants.require('acme');
        expect(topicPolicy(policyDefaults, tenant, topic).values).toEqual({
          ...policyDefaults,
          ...model['tenant'],
          ...model['namespace'],
          ...model['topic'],
        });
      }),
    );
  });

  it('keeps a 0 that is said apart from what is not said', () => {
    const tenant = { timeToLiveMs: 60_000 };
    const { values, sources } = effectivePolicy(policyDefaults, {
      tenant,
      namespace: undefined,
      topic: { timeToLiveMs: 0 },
    });
    expect([values.timeToLiveMs, sources.timeToLiveMs]).toEqual([0, 'topic']);
  });
});

describe('what a level says', () => {
  it('is refused where a field is set and inherited at once', () => {
    expect(reasonOf(() => patchPolicy({}, { timeToLiveMs: 1 }, ['timeToLiveMs']))).toBe(
      'ARGUMENT_INVALID',
    );
  });

  it('is named as in the API', () => {
    expect(policyFieldsNamed(['retention', 'backlog_quota'])).toEqual([
      'retention',
      'backlogQuota',
    ]);
    for (const name of ['backlogQuota', '', '*', 'constructor', 'partitions']) {
      expect(reasonOf(() => policyFieldsNamed([name]))).toBe('ARGUMENT_INVALID');
    }
  });
});
