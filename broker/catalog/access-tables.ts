// The catalog's grants and API tokens, found by what a call brings.
//
// Invariants:
// - There is one grant per principal and scope, one token per name, one token per hash.
// - `version` rises with every change, so that whoever decided something from a table knows when to decide again.
import { defined } from '../core/assert.ts';
import type { Grant, Role } from './grant.ts';
import { NameIndex } from './name-index.ts';
import { pageOf, type Page, type PageRequest } from './page.ts';
import type { Principal } from './principal.ts';
import { isWithin, tenantOf, type Scope } from './scope.ts';
import { principalOfToken, type ApiToken, type TokenName } from './token.ts';

const noRoles: readonly Role[] = [];

export class GrantTable {
  version = 0;
  private readonly byPrincipal = new Map<Principal, Map<Scope, Grant>>();
  /** `principal scope`: neither has a space. */
  private readonly keys = new NameIndex();
  private readonly byKey = new Map<string, Grant>();
  private readonly counts = new Map<string, number>();

  get count(): number {
    return this.byKey.size;
  }

  /** Grants in the scopes of one tenant; an empty one: on `*`. */
  countIn(tenant: string): number {
    return this.counts.get(tenant) ?? 0;
  }

  find(principal: Principal, scope: Scope): Grant | undefined {
    return this.byPrincipal.get(principal)?.get(scope);
  }

  /** On exactly this scope. */
  rolesOf(principal: Principal, scope: Scope): readonly Role[] {
    return this.byPrincipal.get(principal)?.get(scope)?.roles ?? noRoles;
  }

  of(principal: Principal): readonly Grant[] {
    return [...(this.byPrincipal.get(principal)?.values() ?? [])];
  }

  all(): Iterable<Grant> {
    return this.byKey.values();
  }

  within(scope: Scope): Grant[] {
    return [...this.byKey.values()].filter((grant) => isWithin(grant.scope, scope));
  }

  /** On the scope and in it, by principal and scope. Throws ARGUMENT_INVALID. */
  list(scope: Scope, principal: Principal | undefined, request: PageRequest): Page<Grant> {
    const prefix = principal === undefined ? '' : `${principal} `;
    const grantOf = (key: string): Grant => defined(this.byKey.get(key), `grant ${key}`);
    const { keys } = this;
    return pageOf(request, prefix, inScope, grantOf);

    function* inScope(text: string): Generator<string, void> {
      for (const key of keys.from(text)) {
        if (!key.startsWith(prefix)) return;
        if (isWithin(grantOf(key).scope, scope)) yield key;
      }
    }
  }

  put(grant: Grant): void {
    this.remove(grant);
    let byScope = this.byPrincipal.get(grant.principal);
    if (byScope === undefined) {
      byScope = new Map();
      this.byPrincipal.set(grant.principal, byScope);
    }
    byScope.set(grant.scope, grant);
    const key = keyOf(grant);
    this.byKey.set(key, grant);
    this.keys.add(key);
    addTo(this.counts, tenantOf(grant.scope), 1);
    this.version++;
  }

  remove({ principal, scope }: Pick<Grant, 'principal' | 'scope'>): void {
    const key = keyOf({ principal, scope });
    if (!this.byKey.delete(key)) return;
    this.keys.remove(key);
    const byScope = defined(this.byPrincipal.get(principal), `grants of ${principal}`);
    byScope.delete(scope);
    if (byScope.size === 0) this.byPrincipal.delete(principal);
    addTo(this.counts, tenantOf(scope), -1);
    this.version++;
  }
}

export class TokenTable {
  version = 0;
  private readonly byName = new Map<Principal, ApiToken>();
  private readonly byHash = new Map<string, ApiToken>();
  private readonly names = new NameIndex();
  private readonly counts = new Map<string, number>();

  get count(): number {
    return this.byName.size;
  }

  /** Of one tenant; an empty one: of the installation. */
  countIn(tenant: string): number {
    return this.counts.get(tenant) ?? 0;
  }

  find(name: TokenName): ApiToken | undefined {
    return this.byName.get(principalOfToken(name));
  }

  findByHash(secretHash: string): ApiToken | undefined {
    return this.byHash.get(secretHash);
  }

  all(): Iterable<ApiToken> {
    return this.byName.values();
  }

  /** Of one tenant, or of all for an empty one. Throws ARGUMENT_INVALID. */
  list(tenant: string, request: PageRequest): Page<ApiToken> {
    return pageOf(
      request,
      tenant === '' ? '' : principalOfToken({ tenant, name: '' }),
      (text) => this.names.from(text),
      (name) => defined(this.byName.get(name as Principal), `token ${name}`),
    );
  }

  put(token: ApiToken): void {
    this.remove(token);
    const principal = principalOfToken(token);
    this.byName.set(principal, token);
    this.byHash.set(token.secretHash, token);
    this.names.add(principal);
    addTo(this.counts, token.tenant, 1);
    this.version++;
  }

  remove(name: TokenName): void {
    const principal = principalOfToken(name);
    const token = this.byName.get(principal);
    if (token === undefined) return;
    this.byName.delete(principal);
    this.byHash.delete(token.secretHash);
    this.names.remove(principal);
    addTo(this.counts, token.tenant, -1);
    this.version++;
  }
}

function keyOf({ principal, scope }: Pick<Grant, 'principal' | 'scope'>): string {
  return `${principal} ${scope}`;
}

function addTo(counts: Map<string, number>, key: string, change: number): void {
  const count = (counts.get(key) ?? 0) + change;
  if (count === 0) counts.delete(key);
  else counts.set(key, count);
}
