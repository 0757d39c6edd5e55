// API tokens: 256 random bits with a readable prefix. The broker knows their SHA-256 only, so that neither its disk nor
// its object store lets anybody in; looking a token up by its hash tells nothing about other tokens.
import { createHash } from 'node:crypto';
import type { TokenTable } from '../catalog/access-tables.ts';
import { parseTokenName, principalOfToken, type TokenName } from '../catalog/token.ts';
import type { Random } from '../core/random.ts';
import type { Authenticator, Credentials, Identity } from './identity.ts';
import { unauthenticated } from './identity.ts';

export const tokenPrefix = 'mrt_';
const secretBytes = 32;
const secretForm = /^mrt_[A-Za-z0-9_-]{43}$/;

export interface NewSecret {
  /** Shown once. */
  readonly secret: string;
  readonly secretHash: string;
}

export function newSecret(random: Random): NewSecret {
  const secret = tokenPrefix + Buffer.from(random.hex(secretBytes), 'hex').toString('base64url');
  return { secret, secretHash: hashOf(secret) };
}

/** A token of the settings: it is there before anybody could create one, and is not revoked over the API. */
export interface FixedToken extends TokenName {
  readonly secretHash: string;
}

/** Undefined: the text has not the form of a secret. */
export function fixedToken(name: TokenName, secret: string): FixedToken | undefined {
  if (!secretForm.test(secret)) return undefined;
  return { ...parseTokenName(name.tenant, name.name), secretHash: hashOf(secret) };
}

export class ApiTokens implements Authenticator {
  private readonly tokens: TokenTable;
  private readonly fixed: ReadonlyMap<string, TokenName>;

  constructor(tokens: TokenTable, fixed: readonly FixedToken[]) {
    this.tokens = tokens;
    this.fixed = new Map(fixed.map((token) => [token.secretHash, token]));
  }

  authenticate({ bearer }: Credentials, nowMs: number): Identity | undefined {
    if (bearer?.startsWith(tokenPrefix) !== true) return undefined;
    const secretHash = hashOf(bearer);
    const fixed = this.fixed.get(secretHash);
    if (fixed !== undefined) {
      return {
        principal: principalOfToken(fixed),
        expiresAtMs: Infinity,
        isValid: () => true,
      };
    }
    const token = this.tokens.findByHash(secretHash);
    if (token === undefined) {
      throw unauthenticated('there is no such API token; it may have been revoked');
    }
    const expiresAtMs = token.expiresAtMs === 0 ? Infinity : token.expiresAtMs;
    if (expiresAtMs <= nowMs) throw unauthenticated('the API token has expired');
    return {
      principal: principalOfToken(token),
      expiresAtMs,
      isValid: () => this.tokens.findByHash(secretHash) !== undefined,
    };
  }

  /** Whether the settings have a token of this name. */
  isFixed(name: TokenName): boolean {
    for (const { tenant, name: fixed } of this.fixed.values()) {
      if (tenant === name.tenant && fixed === name.name) return true;
    }
    return false;
  }
}

function hashOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}
