// What access costs where it is asked for, on the processor alone: a rate swings by more than that.
import { AccessControl } from '../broker/access/access-control.ts';
import { fixedToken, newSecret } from '../broker/access/api-tokens.ts';
import type { Identity } from '../broker/access/identity.ts';
import { ScopeQuota } from '../broker/access/quota-state.ts';
import { TopicQuota } from '../broker/access/topic-quota.ts';
import { GrantTable, TokenTable } from '../broker/catalog/access-tables.ts';
import { tokenPrincipal } from '../broker/catalog/principal.ts';
import { noQuota, type Quota } from '../broker/catalog/quota.ts';
import { parseScope } from '../broker/catalog/scope.ts';
import { systemClock } from '../broker/core/clock.ts';
import { systemRandom } from '../broker/core/random.ts';

const times = 1_000_000;

export interface AccessCost {
  readonly what: string;
  /** Of each, the best of some runs. */
  readonly microseconds: number;
}

/** `quota`: of the tenant and of the namespace. */
export function accessCosts(quota: Partial<Quota>): readonly AccessCost[] {
  const topic = topicUnder(quota);
  const { access, secret } = accessWithToken();
  const scope = parseScope('bench/a/b');
  const nowMs = () => systemClock.monotonicMs();
  return [
    cost('to admit and charge a batch that is published', () => {
      const atMs = nowMs();
      topic.admitPublish('held', atMs);
      topic.published(1_000, 1, atMs);
    }),
    cost('to look after a frame whether its stream must wait', () => {
      topic.publishHold(nowMs());
    }),
    cost('to know an API token and its grant, for a call or an open', () => {
      const identity = access.identify({ bearer: secret, certificate: undefined }) as Identity;
      access.decide(identity.principal, 'publish', scope);
    }),
  ];
}

function cost(what: string, act: () => void): AccessCost {
  let best = Infinity;
  for (let run = 0; run < 5; run++) {
    const startMs = performance.now();
    for (let i = 0; i < times; i++) act();
    best = Math.min(best, performance.now() - startMs);
  }
  return { what, microseconds: (best * 1_000) / times };
}

function topicUnder(quota: Partial<Quota>): TopicQuota {
  const [tenant, namespace] = ['bench', 'bench/a'].map((scope) => {
    const made = new ScopeQuota(scope, systemClock);
    made.change({ ...noQuota, ...quota }, systemClock.monotonicMs());
    return made;
  }) as [ScopeQuota, ScopeQuota];
  return new TopicQuota(tenant, namespace);
}

function accessWithToken() {
  const { secret } = newSecret(systemRandom);
  const token = fixedToken({ tenant: '', name: 'bench' }, secret);
  if (token === undefined) throw new Error('it is no token');
  const grants = new GrantTable();
  grants.put({
    principal: tokenPrincipal('', 'bench'),
    scope: parseScope('bench'),
    roles: ['publish', 'consume', 'administer'],
    revision: 1,
    createdAtMs: 0,
  });
  const access = new AccessControl({
    isOpen: false,
    grants,
    tokens: new TokenTable(),
    operators: [],
    fixedTokens: [token],
    authenticators: [],
    clock: systemClock,
  });
  return { access, secret };
}
