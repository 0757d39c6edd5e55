// The gate between grpc-js and the handlers: every method of every service goes through it.
//
//   call ──▶ who is that ──▶ what is it about ──▶ may they ──▶ handler
//               │                  │                 └─▶ PERMISSION_DENIED, whether it exists or not
//               │                  └─▶ FRAME_MALFORMED, NAME_INVALID
//               └─▶ UNAUTHENTICATED, ISSUER_UNAVAILABLE
//
// Invariants:
// - No handler runs, and nothing is looked up, before the caller was found to have the permission that the proto
//   declares. Streams of opens ask at each open instead, through the Caller that the gate made for them.
// - A stream ends within a second of the expiry of its credential, and what it has opened is asked about again as soon
//   as grants or tokens change.
// - Calls of administration are counted for the tenant that they are about, after they were found to be allowed. They
//   take turns, one a turn of the event loop: a burst of 500 held up everybody else for 20 to 50 ms, measured.
// - Each denied and each administrative call is told to the audit log.
import type { DescMethod, DescService } from '@bufbuild/protobuf';
import type { sendUnaryData, UntypedServiceImplementation } from '@grpc/grpc-js';
import type { AccessControl } from '../access/access-control.ts';
import type { Audit } from '../access/audit-log.ts';
import type { Identity } from '../access/identity.ts';
import { parseTopicName } from '../catalog/names.ts';
import { clusterScope, parseScope, scopeOfTopic, type Scope } from '../catalog/scope.ts';
import { defined } from '../core/assert.ts';
import { BrokerError, toBrokerError } from '../core/errors.ts';
import { Caller } from './caller.ts';
import { credentialsOf, type AnyCall } from './credentials.ts';
import { methodAccess, type MethodAccess } from './method-access.ts';
import type { Session } from './sessions.ts';
import { serviceError } from './status.ts';
import { Turns } from './turns.ts';
import { readTextField } from './wire/request-field.ts';

type GrpcCall = AnyCall & {
  readonly cancelled: boolean;
  readonly request?: unknown;
  emit(event: 'error', error: Error): unknown;
  once(event: 'close', listener: () => void): unknown;
};
type Handler = (call: GrpcCall, callback: sendUnaryData<unknown>) => void;

const callers = new WeakMap<object, Caller>();

/** Who makes the call; every call that a handler sees has come through the gate. */
export function callerOf(call: object): Caller {
  return defined(callers.get(call), 'caller of a call');
}

export interface GateFigures {
  unauthenticated: number;
  denied: number;
}

export class Gate {
  readonly access: AccessControl;
  readonly audit: Audit;
  readonly figures: GateFigures = { unauthenticated: 0, denied: 0 };
  private readonly streams = new Map<Caller, Session>();
  private readonly admitCall: (scope: Scope) => void;
  private readonly administration = new Turns<() => void>((begin) => begin());
  private versionSeen: number;

  /** `admitCall` throws when the tenant of the scope has used up its calls of administration. */
  constructor(access: AccessControl, audit: Audit, admitCall: (scope: Scope) => void) {
    this.access = access;
    this.audit = audit;
    this.admitCall = admitCall;
    this.versionSeen = access.version;
  }

  /** The implementation with every method behind the gate. Throws INTERNAL for a method that declares too little. */
  guard(
    service: DescService,
    implementation: UntypedServiceImplementation,
  ): UntypedServiceImplementation {
    const guarded: Record<string, Handler> = {};
    for (const method of service.methods) {
      const handler = implementation[method.localName];
      if (handler === undefined) throw new Error(`${method.name} is not implemented`);
      guarded[method.localName] = this.guardMethod(method, handler as unknown as Handler);
    }
    return guarded;
  }

  /** Until the call ends: closes the session when its credential expires or is revoked. */
  watch(call: GrpcCall, session: Session): void {
    if (this.access.isOpen) return;
    const caller = callerOf(call);
    this.streams.set(caller, session);
    call.once('close', () => this.streams.delete(caller));
  }

  /** Ends what has expired, and asks again when something has changed; called again and again, and after a change. */
  check(): void {
    const { nowMs, version } = this.access;
    const isChanged = version !== this.versionSeen;
    this.versionSeen = version;
    for (const [caller, session] of this.streams) {
      if (caller.identity.expiresAtMs <= nowMs) session.close(credentialExpired());
      else if (isChanged && !caller.identity.isValid()) session.close(credentialRevoked());
      else if (isChanged) caller.recheck();
    }
  }

  private guardMethod(method: DescMethod, handler: Handler): Handler {
    const declared = methodAccess(method);
    const opensLater =
      method.methodKind === 'bidi_streaming' || method.methodKind === 'client_streaming';
    return (call, callback) => {
      const refuse = (error: unknown): void => {
        if (method.methodKind === 'unary') callback(serviceError(error));
        else call.emit('error', serviceError(error));
      };
      const enter = (identity: Identity): void => {
        if (call.cancelled) return;
        try {
          const caller = new Caller(this, identity, declared, call.getPeer());
          const scope = opensLater ? '' : this.admit(caller, call.request as Buffer);
          callers.set(call, caller);
          handler(call, this.audited(caller, scope, callback));
        } catch (error) {
          if (toBrokerError(error).reason === 'PERMISSION_DENIED') this.figures.denied++;
          refuse(error);
        }
      };
      const begin = (): void => this.identify(call, declared, enter, refuse);
      if (declared.isAdministration) this.administration.add(begin);
      else begin();
    };
  }

  private identify(
    call: GrpcCall,
    declared: MethodAccess,
    enter: (identity: Identity) => void,
    refuse: (error: unknown) => void,
  ): void {
    const unknown = (error: unknown): void => {
      this.figures.unauthenticated++;
      const address = call.getPeer();
      const outcome = toBrokerError(error).reason;
      this.audit.denied({ principal: '', address, rpc: declared.rpc, scope: '', outcome });
      refuse(error);
    };
    try {
      const found = this.access.isOpen
        ? this.access.identify(noCredentials)
        : this.access.identify(credentialsOf(call));
      if (found instanceof Promise) void found.then(enter, unknown);
      else enter(found);
    } catch (error) {
      unknown(error);
    }
  }

  /** Reads what the request is about and asks for it. Answers it as text. */
  private admit(caller: Caller, request: Buffer): string {
    const { method } = caller;
    const { isOpen } = this.access;
    if (isOpen && !method.isAdministration) return '';
    const scope = scopeOf(method, request);
    if (scope === undefined) return '';
    if (method.permission !== undefined) caller.require(method.permission, scope);
    if (method.target !== undefined) {
      const target = readTextField(request, method.target, method.rpc);
      if (target !== '') caller.require('publish', scopeOfTopic(parseTopicName(target)));
    }
    // Who operates must get through to the tenant that is in their way.
    if (method.isAdministration && (isOpen || !caller.operates)) this.admitCall(scope);
    return isOpen ? '' : scope;
  }

  private audited(
    caller: Caller,
    scope: string,
    callback: sendUnaryData<unknown>,
  ): sendUnaryData<unknown> {
    if (!caller.method.isAudited || this.access.isOpen) return callback;
    return (error, ...rest) => {
      caller.writeDown(scope, outcomeOf(error), false);
      callback(error, ...rest);
    };
  }
}

const noCredentials = { bearer: undefined, certificate: undefined };

/** Undefined: the caller only. Throws FRAME_MALFORMED, NAME_INVALID. */
function scopeOf({ scope, rpc }: MethodAccess, request: Buffer): Scope | undefined {
  switch (scope.kind) {
    case 'topic':
      return scopeOfTopic(parseTopicName(readTextField(request, scope.path, rpc)));
    case 'at':
      return parseScope(readTextField(request, scope.path, rpc));
    case 'cluster':
      return clusterScope;
    case 'listed':
    case 'caller':
      return undefined;
  }
}

/** serviceError keeps the reason. */
function outcomeOf(error: unknown): string {
  if (error === null || error === undefined) return 'ok';
  return typeof error === 'object' && 'reason' in error ? String(error.reason) : 'INTERNAL';
}

function credentialExpired(): BrokerError {
  return new BrokerError(
    'CREDENTIAL_EXPIRED',
    'the credential of this stream has expired; open it again with a new one',
    { effect: 'unknown' },
  );
}

function credentialRevoked(): BrokerError {
  return new BrokerError('UNAUTHENTICATED', 'the credential of this stream has been revoked', {
    effect: 'unknown',
  });
}
