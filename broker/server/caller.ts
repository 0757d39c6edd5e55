// Who makes one call, and what that call may do: the hand that the gate gives to handlers and streams.
//
//   identified ──opens──▶ open ──grant revoked──▶ denied (that open only)
//                           └──── credential expired or revoked ────▶ the stream is closed
//
// Invariant: what a stream has opened is asked about again whenever grants or tokens change, for as long as it is open.
import type { AccessControl } from '../access/access-control.ts';
import type { Audit } from '../access/audit-log.ts';
import type { Permission } from '../access/authorize.ts';
import type { Identity } from '../access/identity.ts';
import type { NameRange } from '../catalog/name-ranges.ts';
import { parseTopicName } from '../catalog/names.ts';
import { scopeOfTopic, type Scope } from '../catalog/scope.ts';
import { BrokerError } from '../core/errors.ts';
import { quoted } from '../core/quoted.ts';
import type { MethodAccess } from './method-access.ts';

/** What a stream has opened. */
export interface Opened {
  /** It is not open any more. */
  release(): void;
}

interface Open {
  readonly scope: Scope;
  readonly onDenied: (error: BrokerError) => void;
}

const verbs: Readonly<Record<Permission, string>> = {
  view: 'view',
  publish: 'publish to',
  consume: 'consume',
  administer: 'administer',
  operate: 'operate',
};

export class Caller {
  readonly identity: Identity;
  readonly method: MethodAccess;
  private readonly access: AccessControl;
  private readonly audit: Audit;
  private readonly address: string;
  private readonly opens = new Set<Open>();
  /** For the audit log: what the scope does not say. Names, nothing else. */
  detail = '';

  constructor(
    { access, audit }: { readonly access: AccessControl; readonly audit: Audit },
    identity: Identity,
    method: MethodAccess,
    address: string,
  ) {
    this.access = access;
    this.audit = audit;
    this.identity = identity;
    this.method = method;
    this.address = address;
  }

  /** Throws PERMISSION_DENIED, and writes it down. */
  require(permission: Permission, scope: Scope): void {
    if (this.access.isOpen) return;
    const denied = this.denialOf(permission, scope);
    if (denied === undefined) return;
    this.writeDown(scope, denied.reason, true);
    throw denied;
  }

  /**
   * Asks for the method's permission on a topic, and goes on asking: `onDenied` is called at most once, when it is
   * revoked. Throws NAME_INVALID, PERMISSION_DENIED.
   */
  open(topic: string, onDenied: (error: BrokerError) => void): Opened {
    if (this.access.isOpen) return nothingToRelease;
    const scope = scopeOfTopic(parseTopicName(topic));
    this.require(this.permission, scope);
    const open: Open = { scope, onDenied };
    this.opens.add(open);
    return { release: () => void this.opens.delete(open) };
  }

  may(permission: Permission, scope: Scope): boolean {
    return this.access.decide(this.identity.principal, permission, scope).allowed;
  }

  /** Topics that the caller may view. */
  viewable(): readonly NameRange[] {
    return this.access.viewable(this.identity.principal);
  }

  get operates(): boolean {
    return this.access.isOperator(this.identity.principal);
  }

  /** Asks again about everything that is open. */
  recheck(): void {
    for (const open of [...this.opens]) {
      const denied = this.denialOf(this.permission, open.scope);
      if (denied === undefined) continue;
      this.opens.delete(open);
      this.writeDown(open.scope, denied.reason, true);
      open.onDenied(denied);
    }
  }

  /** A line of the audit log; denials may be counted instead. */
  writeDown(scope: string, outcome: string, isDenial: boolean): void {
    const { principal } = this.identity;
    const { address, detail } = this;
    const event = {
      principal,
      address,
      rpc: this.method.rpc,
      scope,
      outcome,
      ...(detail === '' ? {} : { detail }),
    };
    if (isDenial) this.audit.denied(event);
    else this.audit.done(event);
  }

  private get permission(): Permission {
    return this.method.permission ?? 'operate';
  }

  private denialOf(permission: Permission, scope: Scope): BrokerError | undefined {
    const { principal } = this.identity;
    if (this.access.decide(principal, permission, scope).allowed) return undefined;
    return new BrokerError(
      'PERMISSION_DENIED',
      `${quoted(principal)} may not ${verbs[permission]} ${quoted(scope)}; ask who administers it for a grant`,
      { metadata: { permission, scope: quoted(scope) } },
    );
  }
}

const nothingToRelease: Opened = { release() {} };
