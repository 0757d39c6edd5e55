// Bearer tokens that an issuer signed: JWT of an identity provider, and those of Kubernetes service accounts.
//
// Invariants:
// - An issuer takes the algorithms that its settings list: asymmetric ones, or HS* for a shared secret that is nothing
//   else. What the token says about its algorithm selects among these and never adds one.
// - Signature, issuer, audience and expiry are all checked; a token without an expiry or a subject is refused.
// - Whatever a token holds, the answer is UNAUTHENTICATED: no text of it reaches a message or the log.
import { decodeJwt, errors, jwtVerify, type JWTPayload, type JWTVerifyGetKey } from 'jose';
import type { Principal } from '../catalog/principal.ts';
import type { Clock } from '../core/clock.ts';
import { BrokerError } from '../core/errors.ts';
import { limits } from '../core/limits.ts';
import type { Authenticator, Credentials, Identity } from './identity.ts';
import { unauthenticated } from './identity.ts';
import { VerifiedCredentials } from './verified-credentials.ts';

export interface TokenIssuer {
  /** As it stands in `iss`. */
  readonly issuer: string;
  /** One of them must be among those of the token. */
  readonly audiences: readonly string[];
  readonly algorithms: readonly string[];
  readonly key: Uint8Array | JWTVerifyGetKey;
  /** Undefined: the claims name nobody that could be a principal. */
  principalOf(claims: JWTPayload): Principal | undefined;
}

/** header.payload.signature in base64url; anything else is not looked at. */
const compactForm = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*$/;

export class JwtAuthenticator implements Authenticator {
  private readonly issuers: ReadonlyMap<string, TokenIssuer>;
  private readonly clock: Clock;
  private readonly verified = new VerifiedCredentials();

  constructor(issuers: readonly TokenIssuer[], clock: Clock) {
    this.issuers = new Map(issuers.map((issuer) => [issuer.issuer, issuer]));
    this.clock = clock;
  }

  authenticate(
    { bearer }: Credentials,
    nowMs: number,
  ): Identity | undefined | Promise<Identity | undefined> {
    if (bearer === undefined || !compactForm.test(bearer)) return undefined;
    const known = this.verified.find(bearer, nowMs, this.clock.monotonicMs());
    return known ?? this.verify(bearer, nowMs);
  }

  private async verify(bearer: string, nowMs: number): Promise<Identity> {
    try {
      const issuer = this.issuerOf(bearer);
      const identity = await verifiedIdentity(bearer, issuer, nowMs);
      this.verified.remember(bearer, identity, this.clock.monotonicMs());
      return identity;
    } catch (error) {
      throw refusal(error);
    }
  }

  private issuerOf(bearer: string): TokenIssuer {
    const { iss } = decodeJwt(bearer);
    const issuer = typeof iss === 'string' ? this.issuers.get(iss) : undefined;
    if (issuer === undefined) throw unauthenticated('the token is of an issuer that is not known');
    return issuer;
  }
}

async function verifiedIdentity(
  bearer: string,
  issuer: TokenIssuer,
  nowMs: number,
): Promise<Identity> {
  const options = {
    issuer: issuer.issuer,
    audience: [...issuer.audiences],
    algorithms: [...issuer.algorithms],
    clockTolerance: limits.credentialClockToleranceMs / 1000,
    requiredClaims: ['exp', 'sub'],
    currentDate: new Date(nowMs),
  };
  const { key } = issuer;
  const { payload } =
    typeof key === 'function'
      ? await jwtVerify(bearer, key, options)
      : await jwtVerify(bearer, key, options);
  const principal = issuer.principalOf(payload);
  if (principal === undefined) throw unauthenticated('the subject of the token cannot be a name');
  const statedMs = Number(payload.exp) * 1000;
  // A token of a clock that is behind may still come; what it opened before it expired does not outlive it.
  const expiresAtMs = statedMs > nowMs ? statedMs : statedMs + limits.credentialClockToleranceMs;
  return { principal, expiresAtMs, isValid: () => true };
}

function refusal(error: unknown): BrokerError {
  if (error instanceof BrokerError) return error;
  if (error instanceof errors.JWTExpired) return unauthenticated('the token has expired');
  if (error instanceof errors.JWTClaimValidationFailed) {
    const claim = claimNames.find((name) => name === error.claim) ?? 'of a claim';
    return unauthenticated(`the ${claim} of the token is not what this broker takes`);
  }
  if (error instanceof errors.JOSEAlgNotAllowed) {
    return unauthenticated('the token is signed with an algorithm that is not allowed');
  }
  if (error instanceof errors.JWKSMultipleMatchingKeys) {
    return unauthenticated('the token does not say which key of its issuer signed it');
  }
  return unauthenticated('the token cannot be verified');
}

const claimNames = ['iss', 'aud', 'sub', 'exp', 'nbf', 'iat'];
