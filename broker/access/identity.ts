// Who a caller is, and how that is found out: the port of the authenticators.
import { anonymous, type Principal } from '../catalog/principal.ts';
import { BrokerError } from '../core/errors.ts';

/** What a connection and a call bring. Nothing else says who somebody is, in particular no header with a name. */
export interface Credentials {
  /** From `authorization: Bearer ...`; undefined when there is none. */
  readonly bearer: string | undefined;
  /** Of the TLS connection, verified against the CA of clients; undefined when there is none. */
  readonly certificate: ClientCertificate | undefined;
}

export interface ClientCertificate {
  /** Every CN of the subject. */
  readonly commonNames: readonly string[];
  /** Wall clock. */
  readonly validToMs: number;
}

export interface Identity {
  readonly principal: Principal;
  /** From then on it is nobody, by the wall clock; Infinity: never. */
  readonly expiresAtMs: number;
  /** False: what it was found by has been revoked since. */
  isValid(): boolean;
}

/**
 * One way to find out. Undefined: the credential is none of its kind, ask the next one. Throws UNAUTHENTICATED when it
 * is of its kind and not good, whatever others would say; ISSUER_UNAVAILABLE.
 */
export interface Authenticator {
  authenticate(
    credentials: Credentials,
    nowMs: number,
  ): Identity | undefined | Promise<Identity | undefined>;
}

/** Where nobody is asked who they are. */
export const everybody: Identity = {
  principal: anonymous,
  expiresAtMs: Infinity,
  isValid: () => true,
};

/** `why` never repeats any of the credential. */
export function unauthenticated(why: string): BrokerError {
  return new BrokerError('UNAUTHENTICATED', why);
}
