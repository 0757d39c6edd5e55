// An API token. What its holder keeps secret is not here: only the SHA-256 of it is.
import { parseNamePart } from './names.ts';
import { tokenPrincipal, type Principal } from './principal.ts';

export interface ApiToken {
  /** Empty: of the installation. */
  readonly tenant: string;
  readonly name: string;
  /** SHA-256 of the secret, lower-case hex. */
  readonly secretHash: string;
  readonly createdAtMs: number;
  /** 0: never. */
  readonly expiresAtMs: number;
  readonly revision: number;
}

export interface TokenName {
  readonly tenant: string;
  readonly name: string;
}

/** An empty tenant is the installation. Throws NAME_INVALID. */
export function parseTokenName(tenant: string, name: string): TokenName {
  if (tenant !== '') parseNamePart('tenant', tenant);
  return { tenant, name: parseNamePart('token', name) };
}

export function principalOfToken({ tenant, name }: TokenName): Principal {
  return tokenPrincipal(tenant, name);
}
