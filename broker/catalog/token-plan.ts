// Decides what a command on API tokens changes. Pure: the hash of the secret comes in.
import { BrokerError } from '../core/errors.ts';
import { limits } from '../core/limits.ts';
import { quoted } from '../core/quoted.ts';
import type { CatalogEvent } from './catalog-events.ts';
import type { CatalogState } from './catalog-state.ts';
import { grantRemoved } from './grant-plan.ts';
import { limitReached } from './limit-reached.ts';
import { clusterScope, type Scope } from './scope.ts';
import { principalOfToken, type ApiToken, type TokenName } from './token.ts';

export interface NewToken {
  readonly name: TokenName;
  readonly secretHash: string;
  /** 0: it does not expire. */
  readonly expiresAfterMs: number;
}

export interface TokenPlan {
  readonly events: readonly CatalogEvent[];
  readonly token: ApiToken;
}

/** Throws TOKEN_EXISTS, ARGUMENT_INVALID, LIMIT_REACHED. */
export function planCreateToken(state: CatalogState, request: NewToken, nowMs: number): TokenPlan {
  const { name, secretHash, expiresAfterMs } = request;
  if (expiresAfterMs > limits.farFutureMs) {
    throw new BrokerError('ARGUMENT_INVALID', 'expires_after_ms is above 100 years', {
      metadata: { field: 'expires_after_ms' },
    });
  }
  const principal = principalOfToken(name);
  if (state.tokens.find(name) !== undefined) {
    throw new BrokerError(
      'TOKEN_EXISTS',
      `there is a token ${quoted(principal)}; revoke it first, or use another name`,
      { metadata: { token: principal } },
    );
  }
  const advice = 'revoke those that nobody needs';
  if (state.tokens.count >= limits.tokensMax) {
    throw limitReached('tokens', limits.tokensMax, advice);
  }
  if (name.tenant !== '' && state.tokens.countIn(name.tenant) >= limits.tokensPerTenantMax) {
    throw limitReached('tokens of a tenant', limits.tokensPerTenantMax, advice);
  }
  const token: ApiToken = {
    ...name,
    secretHash,
    createdAtMs: nowMs,
    expiresAtMs: expiresAfterMs === 0 ? 0 : nowMs + expiresAfterMs,
    revision: state.counters.nextRevision,
  };
  // What was granted to the name before it was a token was meant for somebody else.
  const stale = state.grants.of(principal).map(grantRemoved);
  return { events: [...stale, { kind: 'token-created', token }], token };
}

/** The grants of the token go with it. Throws TOKEN_NOT_FOUND. */
export function planRevokeToken(state: CatalogState, name: TokenName): TokenPlan {
  const token = state.tokens.find(name);
  const principal = principalOfToken(name);
  if (token === undefined) {
    throw new BrokerError('TOKEN_NOT_FOUND', `there is no token ${quoted(principal)}`, {
      metadata: { token: principal },
    });
  }
  return { events: tokenGone(state, token), token };
}

/** For what goes with a deleted tenant; `*` is everything. */
export function planRevokeTokensOf(state: CatalogState, scope: Scope): readonly CatalogEvent[] {
  const gone = [...state.tokens.all()].filter(
    ({ tenant }) => scope === clusterScope || tenant === String(scope),
  );
  return gone.flatMap((token) => tokenGone(state, token));
}

function tokenGone(state: CatalogState, { tenant, name }: ApiToken): CatalogEvent[] {
  return [
    { kind: 'token-removed', tenant, name },
    ...state.grants.of(principalOfToken({ tenant, name })).map(grantRemoved),
  ];
}
