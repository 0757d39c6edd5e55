// Finds out who a caller is by asking one authenticator after another.
//
// Invariants:
// - A bearer credential that nobody takes is refused: it never falls back to the certificate of its connection.
// - A call without any credential is refused.
// - Nothing of a bearer credential longer than its limit is read.
import { limits } from '../core/limits.ts';
import type { Authenticator, Credentials, Identity } from './identity.ts';
import { unauthenticated } from './identity.ts';

/** Answers at once when nothing has to be waited for. Throws or rejects as an Authenticator. */
export function authenticate(
  authenticators: readonly Authenticator[],
  credentials: Credentials,
  nowMs: number,
): Identity | Promise<Identity> {
  const { bearer, certificate } = credentials;
  if (bearer === undefined && certificate === undefined) {
    throw unauthenticated(
      'this broker asks who you are: send a token as `authorization: Bearer ...` (MILLRACE_TOKEN for the command ' +
        'line), or connect with a client certificate',
    );
  }
  if (bearer !== undefined && bearer.length > limits.credentialBytesMax) {
    throw unauthenticated(`a token has at most ${limits.credentialBytesMax} bytes`);
  }
  const asked = bearer === undefined ? credentials : { bearer, certificate: undefined };
  return ask(authenticators, 0, asked, nowMs);
}

function ask(
  authenticators: readonly Authenticator[],
  from: number,
  credentials: Credentials,
  nowMs: number,
): Identity | Promise<Identity> {
  for (let i = from; i < authenticators.length; i++) {
    const found = authenticators[i]?.authenticate(credentials, nowMs);
    if (found instanceof Promise) {
      return found.then((identity) => identity ?? ask(authenticators, i + 1, credentials, nowMs));
    }
    if (found !== undefined) return found;
  }
  throw unauthenticated('the credential is of no kind that this broker takes');
}
