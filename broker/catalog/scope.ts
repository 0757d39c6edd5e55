// Where a grant holds: `*`, `TENANT`, `TENANT/NAMESPACE` or `TENANT/NAMESPACE/TOPIC`; exact, no patterns.
//
// Invariant: a scope lies in another exactly when the other is one of its enclosing scopes.
import { BrokerError } from '../core/errors.ts';
import { quoted } from '../core/quoted.ts';
import { isNamePart, type TopicName } from './names.ts';

declare const brand: unique symbol;
export type Scope = string & { readonly [brand]: 'scope' };

export const clusterScope = '*' as Scope;

/** Empty is `*`. Throws NAME_INVALID. */
export function parseScope(text: string): Scope {
  if (text === '' || text === clusterScope) return clusterScope;
  const parts = text.split('/', 4);
  if (parts.length <= 3 && parts.every(isNamePart)) return text as Scope;
  throw new BrokerError(
    'NAME_INVALID',
    `scope ${quoted(text)} is not valid: it is "*", "tenant", "tenant/namespace" or "tenant/namespace/topic"`,
    { metadata: { field: 'scope', value: quoted(text) } },
  );
}

export function scopeOfTopic(name: TopicName): Scope {
  return name.full as Scope;
}

/** The scope itself, then what is around it, `*` last. */
export function enclosingScopes(scope: Scope): Scope[] {
  if (scope === clusterScope) return [clusterScope];
  const scopes: Scope[] = [];
  for (let end = scope.length; end > 0; end = scope.lastIndexOf('/', end - 1)) {
    scopes.push(scope.slice(0, end) as Scope);
  }
  scopes.push(clusterScope);
  return scopes;
}

export function isWithin(inner: Scope, outer: Scope): boolean {
  return outer === clusterScope || inner === outer || inner.startsWith(`${outer}/`);
}

/** Whose scope it is; empty for `*`. */
export function tenantOf(scope: Scope): string {
  if (scope === clusterScope) return '';
  return scope.split('/', 1)[0] ?? '';
}
