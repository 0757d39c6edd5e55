// Who a caller is, as one text. The forms stand in the header of access.proto.
//
// Invariant: what is answered here is canonical: two principals are the same exactly when their texts are equal, and
// nobody who chooses a name, a subject or a namespace can thereby become somebody of another kind, issuer or tenant.
import { BrokerError } from '../core/errors.ts';
import { limits } from '../core/limits.ts';
import { quoted } from '../core/quoted.ts';
import { isNamePart } from './names.ts';

declare const brand: unique symbol;
export type Principal = string & { readonly [brand]: 'principal' };

/** Everybody, where nobody is asked who they are. */
export const anonymous = 'anonymous' as Principal;

/** A label of Kubernetes' names. */
const label = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;
const percent = 0x25;

/** Undefined: the name cannot be a principal's. */
export function certificatePrincipal(commonName: string): Principal | undefined {
  return bounded(`certificate:${escaped(commonName)}`, commonName);
}

/** `issuer`: its name in the settings, which has no colon. */
export function jwtPrincipal(issuer: string, subject: string): Principal | undefined {
  return bounded(`jwt:${issuer}:${escaped(subject)}`, subject);
}

export function serviceAccountPrincipal(namespace: string, name: string): Principal | undefined {
  if (!label.test(namespace) || !label.test(name)) return undefined;
  return bounded(`serviceaccount:${namespace}:${name}`, name);
}

/** Of a token with a valid name; an empty tenant is the installation. */
export function tokenPrincipal(tenant: string, name: string): Principal {
  return `token:${tenant === '' ? name : `${tenant}/${name}`}` as Principal;
}

/** Reads a principal that something can be granted to. Throws NAME_INVALID. */
export function parsePrincipal(text: string): Principal {
  const at = text.indexOf(':');
  const subject = text.slice(at + 1);
  if (at > 0 && text.length <= limits.principalBytesMax && isSubject(text.slice(0, at), subject)) {
    return text as Principal;
  }
  throw new BrokerError(
    'NAME_INVALID',
    `principal ${quoted(text)} is not valid: it is certificate:CN, jwt:ISSUER:SUB, ` +
      'serviceaccount:NAMESPACE:NAME, token:NAME or token:TENANT/NAME, as millrace whoami prints it',
    { metadata: { field: 'principal', value: quoted(text) } },
  );
}

function isSubject(kind: string, subject: string): boolean {
  switch (kind) {
    case 'certificate':
      return isEscaped(subject);
    case 'jwt': {
      const at = subject.indexOf(':');
      return at > 0 && isNamePart(subject.slice(0, at)) && isEscaped(subject.slice(at + 1));
    }
    case 'serviceaccount': {
      const [namespace = '', name = '', ...rest] = subject.split(':');
      return rest.length === 0 && label.test(namespace) && label.test(name);
    }
    case 'token': {
      const parts = subject.split('/');
      return parts.length <= 2 && parts.every(isNamePart);
    }
    default:
      return false;
  }
}

/** A lone surrogate has no bytes of its own: two subjects with different ones would be the same principal. */
function bounded(text: string, subject: string): Principal | undefined {
  if (subject === '' || !subject.isWellFormed()) return undefined;
  return text.length > limits.principalBytesMax ? undefined : (text as Principal);
}

/** Bytes that are not printable ASCII, and `%`, as `%XX`. */
function escaped(text: string): string {
  let shown = '';
  for (const byte of Buffer.from(text, 'utf8')) {
    shown += isPlain(byte) ? String.fromCharCode(byte) : `%${hexOf(byte)}`;
  }
  return shown;
}

/** Whether `escaped` could have answered it. */
function isEscaped(text: string): boolean {
  if (text === '') return false;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit !== percent) {
      if (!isPlain(unit)) return false;
      continue;
    }
    const digits = text.slice(i + 1, i + 3);
    if (!/^[0-9A-F]{2}$/.test(digits) || isPlain(Number.parseInt(digits, 16))) return false;
    i += 2;
  }
  return true;
}

function isPlain(byte: number): boolean {
  return byte > 0x20 && byte < 0x7f && byte !== percent;
}

function hexOf(byte: number): string {
  return byte.toString(16).toUpperCase().padStart(2, '0');
}
