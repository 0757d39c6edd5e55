// What the gate asks: who is that, and may they.
import type { GrantTable, TokenTable } from '../catalog/access-tables.ts';
import type { Role } from '../catalog/grant.ts';
import type { NameRange } from '../catalog/name-ranges.ts';
import type { Principal } from '../catalog/principal.ts';
import type { Scope } from '../catalog/scope.ts';
import type { TokenName } from '../catalog/token.ts';
import type { Clock } from '../core/clock.ts';
import { ApiTokens, type FixedToken } from './api-tokens.ts';
import { authenticate } from './authenticate.ts';
import {
  authorize,
  viewableRanges,
  type Decision,
  type Permission,
  type Rights,
} from './authorize.ts';
import { ClientCertificates } from './certificates.ts';
import { everybody, type Authenticator, type Credentials, type Identity } from './identity.ts';

export interface AccessOptions {
  /** Nobody is asked who they are; everybody is `anonymous` and operates. */
  readonly isOpen: boolean;
  readonly grants: GrantTable;
  readonly tokens: TokenTable;
  readonly operators: readonly Principal[];
  readonly fixedTokens: readonly FixedToken[];
  /** Asked after API tokens, before certificates. */
  readonly authenticators: readonly Authenticator[];
  readonly clock: Clock;
}

export class AccessControl implements Rights {
  readonly isOpen: boolean;
  private readonly grants: GrantTable;
  private readonly tokens: TokenTable;
  private readonly operators: ReadonlySet<Principal>;
  private readonly apiTokens: ApiTokens;
  private readonly authenticators: readonly Authenticator[];
  private readonly clock: Clock;

  constructor(options: AccessOptions) {
    this.isOpen = options.isOpen;
    this.grants = options.grants;
    this.tokens = options.tokens;
    this.operators = new Set(options.operators);
    this.apiTokens = new ApiTokens(options.tokens, options.fixedTokens);
    this.authenticators = [this.apiTokens, ...options.authenticators, new ClientCertificates()];
    this.clock = options.clock;
  }

  /** Rises whenever something may be decided differently than before. */
  get version(): number {
    return this.grants.version + this.tokens.version;
  }

  get nowMs(): number {
    return this.clock.wallMs();
  }

  /** Throws or rejects with UNAUTHENTICATED, ISSUER_UNAVAILABLE. */
  identify(credentials: Credentials): Identity | Promise<Identity> {
    if (this.isOpen) return everybody;
    return authenticate(this.authenticators, credentials, this.nowMs);
  }

  decide(principal: Principal, permission: Permission, scope: Scope): Decision {
    return authorize(this, principal, permission, scope);
  }

  viewable(principal: Principal): readonly NameRange[] {
    return viewableRanges(this, principal, this.grants.of(principal));
  }

  rolesOf(principal: Principal, scope: Scope): readonly Role[] {
    return this.grants.rolesOf(principal, scope);
  }

  isOperator(principal: Principal): boolean {
    return this.isOpen || this.operators.has(principal);
  }

  /** Whether the settings have an API token of this name. */
  isFixedToken(name: TokenName): boolean {
    return this.apiTokens.isFixed(name);
  }
}
