// Random commands on grants and tokens against plain lists, with checkpoints in between and restarts from any place.
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  decodeCatalogCheckpoint,
  decodeCatalogEvent,
  encodeCatalogCheckpoint,
  encodeCatalogEvent,
} from '../../broker/catalog/catalog-entries.ts';
import { CatalogState, type CatalogEvent } from '../../broker/catalog/catalog-state.ts';
import { planGrant, planRevoke, planRevokeWithin } from '../../broker/catalog/grant-plan.ts';
import { roleNames, type Role } from '../../broker/catalog/grant.ts';
import { parsePrincipal } from '../../broker/catalog/principal.ts';
import { parseScope } from '../../broker/catalog/scope.ts';
import {
  planCreateToken,
  planRevokeToken,
  planRevokeTokensOf,
} from '../../broker/catalog/token-plan.ts';
import { limits } from '../../broker/core/limits.ts';
import { reasonOf } from '../support/reason-of.ts';

const principals = ['token:acme/a', 'token:a', 'jwt:corp:alice'];
const scopes = ['*', 'acme', 'acme/x', 'acmes', 'globex/x/y'];
const tokenNames = [
  { tenant: '', name: 'a' },
  { tenant: 'acme', name: 'a' },
  { tenant: 'acmes', name: 'a' },
];
const plainRoles: readonly Role[] = roleNames.filter((role) => role !== 'operate');

const command = fc.oneof(
  fc.record({
    verb: fc.constantFrom('grant' as const, 'revoke' as const),
    principal: fc.constantFrom(...principals),
    scope: fc.constantFrom(...scopes),
    roles: fc.subarray([...plainRoles]),
  }),
  fc.record({
    verb: fc.constantFrom('create' as const, 'end' as const),
    token: fc.constantFrom(...tokenNames),
  }),
  fc.record({ verb: fc.constant('tenantGone' as const) }),
  fc.record({ verb: fc.constant('checkpoint' as const) }),
  fc.record({ verb: fc.constant('restart' as const), back: fc.nat(10) }),
);
type Command = typeof command extends fc.Arbitrary<infer T> ? T : never;

interface Entry {
  readonly isEvent: boolean;
  readonly bytes: Buffer;
}

class History {
  state = new CatalogState();
  /** Roles by `principal scope`. */
  readonly grants = new Map<string, Set<Role>>();
  /** Hash by `tenant/name`. */
  readonly tokens = new Map<string, string>();
  private readonly journal: Entry[] = [];
  private checkpointAt = 0;
  private hashes = 0;

  run(step: Command): void {
    switch (step.verb) {
      case 'grant':
      case 'revoke':
        this.change(step);
        break;
      case 'create':
      case 'end':
        this.changeToken(step);
        break;
      case 'tenantGone':
        this.take(planRevokeWithin(this.state, parseScope('acme')));
        this.take(planRevokeTokensOf(this.state, parseScope('acme')));
        for (const key of this.grants.keys()) {
          if (
            / acme($|\/)/.test(key) ||
            (key.startsWith('token:acme/') && this.tokens.has('acme/a'))
          ) {
            this.grants.delete(key);
          }
        }
        this.tokens.delete('acme/a');
        break;
      case 'checkpoint':
        this.checkpointAt = this.journal.length;
        for (const entry of this.state.checkpoint()) {
          this.journal.push({ isEvent: false, bytes: encodeCatalogCheckpoint(entry) });
        }
        break;
      case 'restart':
        this.restart(Math.max(0, this.checkpointAt - step.back));
    }
    this.check();
  }

  restart(at: number): void {
    const { revisions } = this;
    this.state = new CatalogState();
    for (const { isEvent, bytes } of this.journal.slice(at)) {
      if (isEvent) this.state.apply(decodeCatalogEvent(bytes));
      else this.state.restore(decodeCatalogCheckpoint(bytes));
    }
    expect(this.revisions).toEqual(revisions);
  }

  private get revisions(): unknown {
    const all = [...this.state.grants.all()].map(
      (one) => `${one.principal} ${one.scope} ${one.revision}`,
    );
    return { next: this.state.counters.nextRevision, all: all.sort() };
  }

  private change(step: Command & { readonly verb: 'grant' | 'revoke' }): void {
    const { principal, scope, roles, verb } = step;
    const key = `${principal} ${scope}`;
    const had = this.grants.get(key) ?? new Set<Role>();
    const request = { principal: parsePrincipal(principal), scope: parseScope(scope), roles };
    if (verb === 'grant') {
      if (roles.length === 0) {
        expect(reasonOf(() => planGrant(this.state, request, 5))).toBe('ARGUMENT_INVALID');
        return;
      }
      this.take(planGrant(this.state, request, 5).events);
      this.grants.set(key, new Set([...had, ...roles]));
      return;
    }
    this.take(planRevoke(this.state, request).events);
    const left = [...had].filter((role) => roles.length > 0 && !roles.includes(role));
    if (left.length === 0) this.grants.delete(key);
    else this.grants.set(key, new Set(left));
  }

  private changeToken({ verb, token }: Command & { readonly verb: 'create' | 'end' }): void {
    const key = `${token.tenant}/${token.name}`;
    const principal = token.tenant === '' ? `token:${token.name}` : `token:${key}`;
    const dropGrants = (): void => {
      for (const one of this.grants.keys())
        if (one.startsWith(`${principal} `)) this.grants.delete(one);
    };
    if (verb === 'create') {
      const secretHash = String(++this.hashes).padStart(64, '0');
      const wish = { name: token, secretHash, expiresAfterMs: 0 };
      if (this.tokens.has(key)) {
        expect(reasonOf(() => planCreateToken(this.state, wish, 5))).toBe('TOKEN_EXISTS');
        return;
      }
      this.take(planCreateToken(this.state, wish, 5).events);
      this.tokens.set(key, secretHash);
      dropGrants();
    } else if (this.tokens.delete(key)) {
      this.take(planRevokeToken(this.state, token).events);
      dropGrants();
    } else {
      expect(reasonOf(() => planRevokeToken(this.state, token))).toBe('TOKEN_NOT_FOUND');
    }
  }

  private take(events: readonly CatalogEvent[]): void {
    for (const event of events) {
      this.journal.push({ isEvent: true, bytes: encodeCatalogEvent(event) });
      this.state.apply(event);
    }
  }

  private check(): void {
    const { grants, tokens } = this.state;
    const listed = grants.list(parseScope('*'), undefined, { pageSize: 1_000 }).items;
    expect(listed.map(({ principal, scope }) => `${principal} ${scope}`)).toEqual(
      [...this.grants.keys()].sort(),
    );
    for (const { principal, scope, roles } of listed) {
      expect(new Set(roles)).toEqual(this.grants.get(`${principal} ${scope}`));
      expect(grants.rolesOf(principal, scope)).toEqual(roles);
    }
    const inAcme = grants.list(parseScope('acme'), undefined, {}).items;
    expect(inAcme).toHaveLength(
      [...this.grants.keys()].filter((key) => / acme($|\/)/.test(key)).length,
    );
    expect(grants.countIn('acme')).toBe(inAcme.length);
    expect(
      tokens
        .list('', {})
        .items.map(({ tenant, name }) => `${tenant}/${name}`)
        .sort(),
    ).toEqual([...this.tokens.keys()].sort());
    expect(tokens.list('acme', {}).items).toHaveLength(this.tokens.has('acme/a') ? 1 : 0);
    for (let n = 1; n <= this.hashes; n++) {
      const hash = String(n).padStart(64, '0');
      expect(tokens.findByHash(hash) !== undefined).toBe([...this.tokens.values()].includes(hash));
    }
  }
}

describe('grants and tokens', () => {
  it('answer like the model and are the same after every restart', () => {
    fc.assert(
      fc.property(fc.array(command, { maxLength: 40, size: 'max' }), (steps) => {
        const history = new History();
        for (const step of steps) history.run(step);
        history.restart(0);
      }),
      { numRuns: 300 },
    );
  });

  it('are bounded per principal, so that a list of topics stays quick', () => {
    const state = new CatalogState();
    const principal = parsePrincipal('token:a');
    const give = (i: number): void => {
      const request = { principal, scope: parseScope(`t${i}`), roles: ['view' as const] };
      for (const event of planGrant(state, request, 1).events) state.apply(event);
    };
    for (let i = 0; i < limits.grantsPerPrincipalMax; i++) give(i);
    expect(reasonOf(() => give(limits.grantsPerPrincipalMax))).toBe('LIMIT_REACHED');
  });

  it('are bounded per tenant, so that one cannot use up what others need', () => {
    const state = new CatalogState();
    const make = (i: number): void => {
      const name = { tenant: 'acme', name: `t${i}` };
      const wish = { name, secretHash: String(i).padStart(64, '0'), expiresAfterMs: 0 };
      for (const event of planCreateToken(state, wish, 1).events) state.apply(event);
    };
    for (let i = 0; i < limits.tokensPerTenantMax; i++) make(i);
    expect(reasonOf(() => make(limits.tokensPerTenantMax))).toBe('LIMIT_REACHED');
    const give = (i: number): void => {
      const principal = parsePrincipal(`jwt:corp:${i}`);
      const request = { principal, scope: parseScope('acme/x'), roles: ['view' as const] };
      for (const event of planGrant(state, request, 1).events) state.apply(event);
    };
    for (let i = 0; i < limits.grantsPerTenantMax; i++) give(i);
    expect(reasonOf(() => give(limits.grantsPerTenantMax))).toBe('LIMIT_REACHED');
  });
});
