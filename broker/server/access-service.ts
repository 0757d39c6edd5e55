// AccessService: between the API's messages and the catalog's grants and tokens.
//
// Invariants:
// - The gate has asked for `administer` on the scope that is named; what needs more is asked for here: the role
//   `operate` is given and taken by operators only.
// - A change has its effect on open streams before it is answered.
// - A secret is in the answer that made it, and nowhere else.
import type { UntypedServiceImplementation } from '@grpc/grpc-js';
import { newSecret } from '../access/api-tokens.ts';
import { planGrant, planRevoke, type GrantChange } from '../catalog/grant-plan.ts';
import { roleNames, type Grant, type Role } from '../catalog/grant.ts';
import { parsePrincipal } from '../catalog/principal.ts';
import { clusterScope, parseScope } from '../catalog/scope.ts';
import { planCreateToken, planRevokeToken } from '../catalog/token-plan.ts';
import {
  parseTokenName,
  principalOfToken,
  type ApiToken,
  type TokenName,
} from '../catalog/token.ts';
import type { Clock } from '../core/clock.ts';
import { BrokerError } from '../core/errors.ts';
import { quoted } from '../core/quoted.ts';
import { systemRandom } from '../core/random.ts';
import type { CatalogStore } from '../shard/catalog-store.ts';
import { AccessService, Role as RoleCode } from '../../proto/gen/millrace/v1/access_pb.ts';
import type { Gate } from './gate.ts';
import { permissionFromProto } from './method-access.ts';
import { numberFromProto } from './subscription-convert.ts';
import { unary } from './unary.ts';

export interface AccessSurroundings {
  readonly catalog: CatalogStore;
  readonly gate: Gate;
  readonly clock: Clock;
}

const { method } = AccessService;

export function accessService(around: AccessSurroundings): UntypedServiceImplementation {
  return { ...grantMethods(around), ...tokenMethods(around), ...askMethods(around) };
}

function grantMethods({ catalog, gate, clock }: AccessSurroundings): UntypedServiceImplementation {
  return {
    grant: unary(method.grant, async (request, caller) => {
      const change = changeOf(request);
      caller.detail = detailOf(change);
      if (change.roles.includes('operate')) caller.require('operate', clusterScope);
      const plan = await catalog.change((state) => planGrant(state, change, clock.wallMs()));
      gate.check();
      return { ...grantField(plan.grant), changed: plan.events.length > 0 };
    }),
    revoke: unary(method.revoke, async (request, caller) => {
      const change = changeOf(request);
      caller.detail = detailOf(change);
      const plan = await catalog.change((state) => {
        const before = state.grants.rolesOf(change.principal, change.scope);
        const takesOperate = change.roles.length === 0 || change.roles.includes('operate');
        if (before.includes('operate') && takesOperate) caller.require('operate', clusterScope);
        return planRevoke(state, change);
      });
      gate.check();
      return { ...grantField(plan.grant), changed: plan.events.length > 0 };
    }),
    listGrants: unary(method.listGrants, ({ scope, principal, pageSize, pageToken }) => {
      const of = principal === '' ? undefined : parsePrincipal(principal);
      const { grants } = catalog.state;
      const page = grants.list(parseScope(scope), of, { pageSize, pageToken });
      return { grants: page.items.map(grantToProto), nextPageToken: page.nextPageToken };
    }),
  };
}

function tokenMethods({ catalog, gate, clock }: AccessSurroundings): UntypedServiceImplementation {
  return {
    createToken: unary(method.createToken, async (request, caller) => {
      const name = parseTokenName(request.tenant, request.name);
      caller.detail = principalOfToken(name);
      // Whoever makes it has it: the settings may already say that it operates.
      if (gate.access.isOperator(principalOfToken(name))) caller.require('operate', clusterScope);
      if (gate.access.isFixedToken(name)) throw fixedByTheSettings(name);
      const expiresAfterMs = numberFromProto(request.expiresAfterMs, 'expires_after_ms');
      const { secret, secretHash } = newSecret(systemRandom);
      const wish = { name, secretHash, expiresAfterMs };
      const plan = await catalog.change((state) => planCreateToken(state, wish, clock.wallMs()));
      return { token: tokenToProto(plan.token), secret };
    }),
    listTokens: unary(method.listTokens, ({ tenant, pageSize, pageToken }) => {
      const page = catalog.state.tokens.list(tenant, { pageSize, pageToken });
      return { tokens: page.items.map(tokenToProto), nextPageToken: page.nextPageToken };
    }),
    revokeToken: unary(method.revokeToken, async (request, caller) => {
      const name = parseTokenName(request.tenant, request.name);
      caller.detail = principalOfToken(name);
      await catalog.change((state) => {
        const roles = state.grants.rolesOf(principalOfToken(name), clusterScope);
        if (roles.includes('operate')) caller.require('operate', clusterScope);
        return planRevokeToken(state, name);
      });
      gate.check();
      return {};
    }),
  };
}

function askMethods({ catalog, gate }: AccessSurroundings): UntypedServiceImplementation {
  return {
    whoAmI: unary(method.whoAmI, (_request, caller) => {
      const { principal, expiresAtMs } = caller.identity;
      return {
        principal,
        expiresAtMs: expiresAtMs === Infinity ? 0n : BigInt(expiresAtMs),
        operates: caller.operates,
        grants: catalog.state.grants.of(principal).map(grantToProto),
      };
    }),
    checkAccess: unary(method.checkAccess, ({ principal, permission, scope }) => {
      const needed = permissionFromProto(permission);
      if (needed === undefined) throw argumentInvalid('permission', String(permission));
      const { allowed, why } = gate.access.decide(
        parsePrincipal(principal),
        needed,
        parseScope(scope),
      );
      return { allowed, why };
    }),
  };
}

function changeOf(request: { principal: string; scope: string; roles: RoleCode[] }): GrantChange {
  return {
    principal: parsePrincipal(request.principal),
    scope: parseScope(request.scope),
    roles: request.roles.map(roleFromProto),
  };
}

function detailOf({ principal, roles }: GrantChange): string {
  return `${principal} ${roles.length === 0 ? 'all' : roles.join(',')}`;
}

const roleCodes = {
  view: RoleCode.VIEW,
  publish: RoleCode.PUBLISH,
  consume: RoleCode.CONSUME,
  administer: RoleCode.ADMINISTER,
  operate: RoleCode.OPERATE,
} as const satisfies Readonly<Record<Role, RoleCode>>;

function roleFromProto(code: RoleCode): Role {
  const role = roleNames.find((name) => roleCodes[name] === code);
  if (role === undefined) throw argumentInvalid('roles', String(code));
  return role;
}

/** The field is left out when there is no grant. */
function grantField(grant: Grant | undefined) {
  return grant === undefined ? {} : { grant: grantToProto(grant) };
}

function grantToProto({ principal, scope, roles, revision, createdAtMs }: Grant) {
  return {
    principal,
    scope,
    roles: roles.map((role) => roleCodes[role]),
    revision: String(revision),
    createdAtMs: BigInt(createdAtMs),
  };
}

function tokenToProto(token: ApiToken) {
  return {
    tenant: token.tenant,
    name: token.name,
    principal: principalOfToken(token),
    createdAtMs: BigInt(token.createdAtMs),
    expiresAtMs: BigInt(token.expiresAtMs),
  };
}

function fixedByTheSettings(name: TokenName): BrokerError {
  const principal = principalOfToken(name);
  return new BrokerError(
    'TOKEN_EXISTS',
    `the settings of the broker have a token ${quoted(principal)}; use another name`,
    { metadata: { token: principal } },
  );
}

function argumentInvalid(field: string, value: string): BrokerError {
  return new BrokerError('ARGUMENT_INVALID', `there is no value ${value} of ${field}`, {
    metadata: { field },
  });
}
