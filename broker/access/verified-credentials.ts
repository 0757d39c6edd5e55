// What was found good a moment ago, by the SHA-256 of the credential: a signature costs a tenth of a millisecond, and
// scripts call unary methods one after another with one token.
//
// Invariant: nothing is remembered longer than `verifiedCredentialMs`, so that a withdrawn key ends within a minute.
import { createHash } from 'node:crypto';
import { limits } from '../core/limits.ts';
import type { Identity } from './identity.ts';

interface Remembered {
  readonly identity: Identity;
  readonly untilMs: number;
}

export class VerifiedCredentials {
  private readonly byHash = new Map<string, Remembered>();

  /** `nowMs`: wall clock, for the expiry; `monotonicMs` for how long it is remembered. */
  find(bearer: string, nowMs: number, monotonicMs: number): Identity | undefined {
    const key = keyOf(bearer);
    const found = this.byHash.get(key);
    if (found === undefined) return undefined;
    if (found.untilMs > monotonicMs && found.identity.expiresAtMs > nowMs) return found.identity;
    this.byHash.delete(key);
    return undefined;
  }

  remember(bearer: string, identity: Identity, monotonicMs: number): void {
    if (this.byHash.size >= limits.verifiedCredentialsMax) {
      const [oldest] = this.byHash.keys();
      if (oldest !== undefined) this.byHash.delete(oldest);
    }
    const untilMs = monotonicMs + limits.verifiedCredentialMs;
    this.byHash.set(keyOf(bearer), { identity, untilMs });
  }
}

function keyOf(bearer: string): string {
  return createHash('sha256').update(bearer).digest('latin1');
}
