// Administration of grants and API tokens: plain values in, plain values out.
import type { MessageShape } from '@bufbuild/protobuf';
import {
  AccessService,
  Role as RoleCode,
  type GrantSchema,
  type TokenSchema,
} from '../../../proto/gen/millrace/v1/access_pb.ts';
import { Permission as PermissionCode } from '../../../proto/gen/millrace/v1/permission_pb.ts';
import type { Connection } from '../connection.ts';

/** What a grant allows on its scope; `publish` and `consume` include `view`, `administer` includes all three. */
export type Role = 'view' | 'publish' | 'consume' | 'administer' | 'operate';

export interface Grant {
  /** `certificate:CN`, `jwt:ISSUER:SUB`, `serviceaccount:NAMESPACE:NAME`, `token:NAME` or `token:TENANT/NAME`. */
  readonly principal: string;
  /** `*`, `TENANT`, `TENANT/NAMESPACE` or `TENANT/NAMESPACE/TOPIC`. */
  readonly scope: string;
  readonly roles: readonly Role[];
  /** By the broker's clock, ms. */
  readonly createdAtMs: number;
}

export interface ApiToken {
  /** Empty: of the installation. */
  readonly tenant: string;
  readonly name: string;
  /** What grants to it name. */
  readonly principal: string;
  readonly createdAtMs: number;
  /** 0: never. */
  readonly expiresAtMs: number;
}

export interface CreatedToken extends ApiToken {
  /** Nobody can ask for it again. */
  readonly secret: string;
}

export interface Caller {
  readonly principal: string;
  /** Of the credential; 0: never. */
  readonly expiresAtMs: number;
  /** By the settings of the broker, or because it asks nobody who they are. */
  readonly operates: boolean;
  readonly grants: readonly Grant[];
}

const roleCodes = {
  view: RoleCode.VIEW,
  publish: RoleCode.PUBLISH,
  consume: RoleCode.CONSUME,
  administer: RoleCode.ADMINISTER,
  operate: RoleCode.OPERATE,
} as const satisfies Readonly<Record<Role, RoleCode>>;

const permissionCodes = {
  view: PermissionCode.VIEW,
  publish: PermissionCode.PUBLISH,
  consume: PermissionCode.CONSUME,
  administer: PermissionCode.ADMIN,
  operate: PermissionCode.OPERATE,
} as const satisfies Readonly<Record<Role, PermissionCode>>;

const { method } = AccessService;

export class Access {
  private readonly connection: Connection;

  constructor(connection: Connection) {
    this.connection = connection;
  }

  /** Adds roles; those that the principal has on the scope stay. Answers all it has there. */
  async grant(principal: string, scope: string, roles: readonly Role[]): Promise<Grant> {
    const request = { principal, scope, roles: roles.map((role) => roleCodes[role]) };
    const { grant } = await this.connection.unary(method.grant, request);
    return grantFromProto(grant);
  }

  /** Takes roles away, all of them when none is named. False: there was nothing to take away. */
  async revoke(principal: string, scope: string, roles: readonly Role[] = []): Promise<boolean> {
    const request = { principal, scope, roles: roles.map((role) => roleCodes[role]) };
    return (await this.connection.unary(method.revoke, request)).changed;
  }

  /** Grants on a scope and in it; by default all there are. */
  async *grants(options: { scope?: string; principal?: string } = {}): AsyncGenerator<Grant> {
    let pageToken = '';
    do {
      const request = { ...options, pageSize: 1_000, pageToken };
      const page = await this.connection.unary(method.listGrants, request);
      for (const grant of page.grants) yield grantFromProto(grant);
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
  }

  /** A new API token, which may do nothing until something is granted to its principal. */
  async createToken(
    name: string,
    options: { tenant?: string; expiresAfterMs?: number } = {},
  ): Promise<CreatedToken> {
    const { tenant = '', expiresAfterMs = 0 } = options;
    const request = { tenant, name, expiresAfterMs: BigInt(expiresAfterMs) };
    const { token, secret } = await this.connection.unary(method.createToken, request);
    return { ...tokenFromProto(token), secret };
  }

  /** Tokens of a tenant; by default all there are. */
  async *tokens(options: { tenant?: string } = {}): AsyncGenerator<ApiToken> {
    let pageToken = '';
    do {
      const request = { ...options, pageSize: 1_000, pageToken };
      const page = await this.connection.unary(method.listTokens, request);
      for (const token of page.tokens) yield tokenFromProto(token);
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
  }

  /** Ends the token, its streams and its grants. */
  async revokeToken(name: string, options: { tenant?: string } = {}): Promise<void> {
    const { tenant = '' } = options;
    await this.connection.unary(method.revokeToken, { tenant, name });
  }

  async whoAmI(): Promise<Caller> {
    const answer = await this.connection.unary(method.whoAmI, {});
    const { principal, expiresAtMs, operates, grants } = answer;
    return {
      principal,
      expiresAtMs: Number(expiresAtMs),
      operates,
      grants: grants.map(grantFromProto),
    };
  }

  /** Whether a principal may do something on a scope; `why` is for people. */
  async check(
    principal: string,
    permission: Role,
    scope: string,
  ): Promise<{ readonly allowed: boolean; readonly why: string }> {
    const request = { principal, permission: permissionCodes[permission], scope };
    const { allowed, why } = await this.connection.unary(method.checkAccess, request);
    return { allowed, why };
  }
}

function grantFromProto(grant: MessageShape<typeof GrantSchema> | undefined): Grant {
  return {
    principal: grant?.principal ?? '',
    scope: grant?.scope ?? '',
    roles: (grant?.roles ?? []).flatMap(roleFromProto),
    createdAtMs: Number(grant?.createdAtMs ?? 0n),
  };
}

function roleFromProto(code: RoleCode): Role[] {
  return Object.entries(roleCodes).flatMap(([role, known]) =>
    known === code ? [role as Role] : [],
  );
}

function tokenFromProto(token: MessageShape<typeof TokenSchema> | undefined): ApiToken {
  return {
    tenant: token?.tenant ?? '',
    name: token?.name ?? '',
    principal: token?.principal ?? '',
    createdAtMs: Number(token?.createdAtMs ?? 0n),
    expiresAtMs: Number(token?.expiresAtMs ?? 0n),
  };
}
