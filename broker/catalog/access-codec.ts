// Bytes of grants and API tokens inside the catalog's journal entries. As object-codec.ts.
import { limits } from '../core/limits.ts';
import { WireError } from '../../proto/wire/reader.ts';
import { WireWriter } from '../../proto/wire/writer.ts';
import { roleNames, type Grant, type Role } from './grant.ts';
import { bytesField, numberField, readMessage, readText } from './codec-fields.ts';
import { parsePrincipal } from './principal.ts';
import { parseScope } from './scope.ts';
import { parseTokenName, type ApiToken, type TokenName } from './token.ts';

export type GrantKey = Pick<Grant, 'principal' | 'scope'>;

const hash = /^[0-9a-f]{64}$/;

export function encodeGrant(grant: Grant): Buffer {
  const writer = new WireWriter(grant.principal.length + grant.scope.length + 64);
  writer.string(1, grant.principal);
  writer.string(2, grant.scope);
  writer.uint(3, roleBits(grant.roles));
  writer.uint(4, grant.revision);
  writer.uint(5, grant.createdAtMs);
  return writer.finish();
}

export function decodeGrant(bytes: Uint8Array): Grant {
  const fields = { principal: '', scope: '', roles: 0, revision: 0, createdAtMs: 0 };
  readMessage(bytes, {
    [bytesField(1)]: (reader) => (fields.principal = readText(reader)),
    [bytesField(2)]: (reader) => (fields.scope = readText(reader)),
    [numberField(3)]: (reader) => (fields.roles = reader.varint()),
    [numberField(4)]: (reader) => (fields.revision = reader.varint()),
    [numberField(5)]: (reader) => (fields.createdAtMs = reader.varint()),
  });
  const { revision, createdAtMs } = fields;
  return { ...grantKey(fields), roles: rolesOf(fields.roles), revision, createdAtMs };
}

export function encodeGrantKey({ principal, scope }: GrantKey): Buffer {
  const writer = new WireWriter(principal.length + scope.length + 16);
  writer.string(1, principal);
  writer.string(2, scope);
  return writer.finish();
}

export function decodeGrantKey(bytes: Uint8Array): GrantKey {
  const fields = { principal: '', scope: '' };
  readMessage(bytes, {
    [bytesField(1)]: (reader) => (fields.principal = readText(reader)),
    [bytesField(2)]: (reader) => (fields.scope = readText(reader)),
  });
  return grantKey(fields);
}

export function encodeToken(token: ApiToken): Buffer {
  const writer = new WireWriter();
  writer.string(1, token.tenant);
  writer.string(2, token.name);
  writer.string(3, token.secretHash);
  writer.uint(4, token.createdAtMs);
  writer.uint(5, token.expiresAtMs);
  writer.uint(6, token.revision);
  return writer.finish();
}

export function decodeToken(bytes: Uint8Array): ApiToken {
  const text = { tenant: '', name: '', secretHash: '' };
  const numbers = { createdAtMs: 0, expiresAtMs: 0, revision: 0 };
  readMessage(bytes, {
    [bytesField(1)]: (reader) => (text.tenant = readText(reader)),
    [bytesField(2)]: (reader) => (text.name = readText(reader)),
    [bytesField(3)]: (reader) => (text.secretHash = readText(reader)),
    [numberField(4)]: (reader) => (numbers.createdAtMs = reader.varint()),
    [numberField(5)]: (reader) => (numbers.expiresAtMs = reader.varint()),
    [numberField(6)]: (reader) => (numbers.revision = reader.varint()),
  });
  if (!hash.test(text.secretHash)) throw new WireError('a token has no hash');
  return { ...parseTokenName(text.tenant, text.name), secretHash: text.secretHash, ...numbers };
}

export function encodeTokenName({ tenant, name }: TokenName): Buffer {
  const writer = new WireWriter(2 * limits.nameBytesMax + 16);
  writer.string(1, tenant);
  writer.string(2, name);
  return writer.finish();
}

export function decodeTokenName(bytes: Uint8Array): TokenName {
  const text = { tenant: '', name: '' };
  readMessage(bytes, {
    [bytesField(1)]: (reader) => (text.tenant = readText(reader)),
    [bytesField(2)]: (reader) => (text.name = readText(reader)),
  });
  return parseTokenName(text.tenant, text.name);
}

/** Of a journal an empty scope is damage, not `*`. */
function grantKey({ principal, scope }: { principal: string; scope: string }): GrantKey {
  if (scope === '') throw new WireError('a grant has no scope');
  return { principal: parsePrincipal(principal), scope: parseScope(scope) };
}

function roleBits(roles: readonly Role[]): number {
  return roles.reduce((bits, role) => bits | (1 << roleNames.indexOf(role)), 0);
}

function rolesOf(bits: number): readonly Role[] {
  if (bits < 1 || bits >= 1 << roleNames.length) throw new WireError(`roles are ${bits}`);
  return roleNames.filter((_, place) => (bits & (1 << place)) !== 0);
}
