// The public keys of one issuer, fetched when they are needed.
//
//   none ──load──▶ fresh ──a minute──▶ stale ──load fails──▶ stale ──a day──▶ none
//                    ▲                    └──load──▶ fresh
//                    └── a key that is not known: load, not more often than every few seconds
//
// Invariants:
// - However many tokens come, one load is under way, and loads are `issuerKeysRetryMs` apart: a flood of invented key
//   ids is no flood at the issuer.
// - While the issuer is away its last keys do for a day; a key id that was never seen is ISSUER_UNAVAILABLE then, and
//   UNAUTHENTICATED when the issuer has just said that there is none.
// - Secret keys in a public set are left out: a set that is world-readable signs nothing.
import {
  createLocalJWKSet,
  errors,
  type CryptoKey,
  type FlattenedJWSInput,
  type JSONWebKeySet,
  type JWK,
  type JWSHeaderParameters,
} from 'jose';
import type { Clock } from '../core/clock.ts';
import { BrokerError } from '../core/errors.ts';
import { limits } from '../core/limits.ts';
import { unauthenticated } from './identity.ts';

export interface KeySource {
  /** For people; without secrets. */
  readonly what: string;
  /** The text of a JWKS document. Throws ISSUER_UNAVAILABLE. */
  load(): Promise<string>;
}

type Lookup = (header: JWSHeaderParameters, token: FlattenedJWSInput) => Promise<CryptoKey>;

export class IssuerKeys {
  private readonly source: KeySource;
  private readonly clock: Clock;
  private keys: { readonly find: Lookup; readonly loadedMs: number } | undefined;
  private loading: Promise<void> | undefined;
  private lastTryMs = -Infinity;
  private lastFailure: BrokerError | undefined;

  constructor(source: KeySource, clock: Clock) {
    this.source = source;
    this.clock = clock;
  }

  /** As jose asks for a key. Throws UNAUTHENTICATED, ISSUER_UNAVAILABLE. */
  readonly find = async (
    header: JWSHeaderParameters,
    token: FlattenedJWSInput,
  ): Promise<CryptoKey> => {
    await this.refresh();
    const found = await this.lookUp(header, token);
    if (found !== undefined) return found;
    if (this.mayLoad) await this.load();
    const again = await this.lookUp(header, token);
    if (again !== undefined) return again;
    if (this.lastFailure !== undefined) throw this.lastFailure;
    throw unauthenticated('the issuer has no such key');
  };

  /** For a start that shall fail when the keys are not there. Throws ISSUER_UNAVAILABLE. */
  async preload(): Promise<void> {
    await this.load();
    if (this.lastFailure !== undefined) throw this.lastFailure;
  }

  private get mayLoad(): boolean {
    if (this.loading !== undefined) return true;
    return this.clock.monotonicMs() - this.lastTryMs >= limits.issuerKeysRetryMs;
  }

  private async refresh(): Promise<void> {
    const ageMs = this.clock.monotonicMs() - (this.keys?.loadedMs ?? -Infinity);
    if (ageMs < limits.issuerKeysFreshMs) return;
    if (ageMs >= limits.issuerKeysKeptMs) this.keys = undefined;
    if (!this.mayLoad) return;
    // Once it has failed, nobody who could go on with the last keys waits for the next try.
    if (this.keys !== undefined && this.lastFailure !== undefined) void this.load();
    else await this.load();
  }

  private async lookUp(
    header: JWSHeaderParameters,
    token: FlattenedJWSInput,
  ): Promise<CryptoKey | undefined> {
    if (this.keys === undefined) return undefined;
    try {
      return await this.keys.find(header, token);
    } catch (error) {
      if (error instanceof errors.JWKSNoMatchingKey) return undefined;
      throw error;
    }
  }

  /** Never rejects: what went wrong is in `lastFailure`. */
  private load(): Promise<void> {
    this.loading ??= this.loadOnce().finally(() => (this.loading = undefined));
    return this.loading;
  }

  private async loadOnce(): Promise<void> {
    this.lastTryMs = this.clock.monotonicMs();
    try {
      const set = readKeySet(await this.source.load(), this.source.what);
      this.keys = { find: createLocalJWKSet(set), loadedMs: this.clock.monotonicMs() };
      this.lastFailure = undefined;
    } catch (error) {
      this.lastFailure =
        error instanceof BrokerError ? error : issuerUnavailable(this.source.what, 'failed', error);
    }
  }
}

export function issuerUnavailable(what: string, why: string, cause?: unknown): BrokerError {
  return new BrokerError('ISSUER_UNAVAILABLE', `keys from ${what}: ${why}; try again`, {
    retryAfterMs: limits.issuerKeysRetryMs,
    ...(cause === undefined ? {} : { cause }),
  });
}

function readKeySet(text: string, what: string): JSONWebKeySet {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw issuerUnavailable(what, 'not JSON');
  }
  const keys = isObject(parsed) ? parsed['keys'] : undefined;
  if (!Array.isArray(keys)) throw issuerUnavailable(what, 'no JWKS document');
  if (keys.length > limits.issuerKeysMax) {
    throw issuerUnavailable(what, `more than ${limits.issuerKeysMax} keys`);
  }
  const usable = keys.filter(isPublicSigningKey);
  if (usable.length === 0) throw issuerUnavailable(what, 'no public key to verify signatures with');
  return { keys: usable };
}

function isPublicSigningKey(key: unknown): key is JWK {
  if (!isObject(key)) return false;
  const { kty, use, d, k } = key;
  if (d !== undefined || k !== undefined) return false;
  return (kty === 'RSA' || kty === 'EC' || kty === 'OKP') && (use === undefined || use === 'sig');
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
