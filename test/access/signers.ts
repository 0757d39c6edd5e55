// Issuers of tokens for tests: keys made at the first use, tokens that are right unless a case makes them wrong.
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey, type JWK } from 'jose';

export const issuerUrl = 'https://login.example.test';
export const audience = 'millrace';

export interface Signer {
  readonly kid: string;
  readonly alg: string;
  readonly privateKey: CryptoKey;
  /** Public, with kid and alg. */
  readonly jwk: JWK;
}

export async function makeSigner(alg: string, kid: string): Promise<Signer> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  const jwk = { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' };
  return { kid, alg, privateKey, jwk };
}

export type Claims = Readonly<Record<string, unknown>>;

/** Claims of a good token for `sub`, valid for an hour from `nowMs`. */
export function goodClaims(sub: string, nowMs = Date.now()): Claims {
  const seconds = Math.floor(nowMs / 1000);
  return { iss: issuerUrl, aud: audience, sub, iat: seconds, exp: seconds + 3600 };
}

/** `header` adds to or replaces what stands in the protected header. */
export function sign(
  { alg, kid, privateKey }: Signer,
  claims: Claims,
  header: Readonly<Record<string, unknown>> = {},
): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg, kid, ...header }).sign(privateKey);
}

export function base64url(value: unknown): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return Buffer.from(text).toString('base64url');
}

export function keySet(...signers: readonly Signer[]): string {
  return JSON.stringify({ keys: signers.map(({ jwk }) => jwk) });
}
