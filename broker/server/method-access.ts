// What each RPC declares about access, read from the descriptors once.
//
// Invariant: an RPC that declares no permission, no scope, or a field that its request does not have is refused when
// the broker starts, so that none is ever served unchecked.
import {
  getOption,
  hasOption,
  ScalarType,
  type DescField,
  type DescMethod,
} from '@bufbuild/protobuf';
import type { Permission } from '../access/authorize.ts';
import { BrokerError } from '../core/errors.ts';
import {
  audited,
  Permission as DeclaredPermission,
  permission,
  scope,
} from '../../proto/gen/millrace/v1/permission_pb.ts';

/** Field numbers from the request inwards. */
export type FieldPath = readonly number[];

export type ScopeAccess =
  | { readonly kind: 'topic'; readonly path: FieldPath }
  | { readonly kind: 'at'; readonly path: FieldPath }
  | { readonly kind: 'cluster' }
  /** The handler answers what the caller may view. */
  | { readonly kind: 'listed' }
  | { readonly kind: 'caller' };

export interface MethodAccess {
  /** `Service/Method`. */
  readonly rpc: string;
  /** Undefined: any good credential will do. */
  readonly permission: Permission | undefined;
  readonly scope: ScopeAccess;
  /** Where the call makes records go to. */
  readonly target: FieldPath | undefined;
  readonly isAudited: boolean;
  /** It changes or looks at what is in a tenant, and counts against its calls. A look at the tenant does not. */
  readonly isAdministration: boolean;
}

const permissions: Readonly<Record<number, Permission | undefined>> = {
  [DeclaredPermission.VIEW]: 'view',
  [DeclaredPermission.PUBLISH]: 'publish',
  [DeclaredPermission.CONSUME]: 'consume',
  [DeclaredPermission.ADMIN]: 'administer',
  [DeclaredPermission.OPERATE]: 'operate',
};

export function permissionFromProto(declared: DeclaredPermission): Permission | undefined {
  return permissions[declared];
}

/** Throws INTERNAL: the proto declares too little. */
export function methodAccess(method: DescMethod): MethodAccess {
  const rpc = `${method.parent.name}/${method.name}`;
  if (!hasOption(method, permission) || !hasOption(method, scope)) {
    throw undeclared(rpc, 'it declares no permission or no scope');
  }
  const declared = getOption(method, permission);
  const needed = permissionFromProto(declared);
  const place = scopeAccess(method, rpc);
  if ((needed === undefined) !== (place.kind === 'caller')) {
    throw undeclared(rpc, 'its permission does not fit its scope');
  }
  const { target } = getOption(method, scope);
  return {
    rpc,
    permission: needed,
    scope: place,
    target: target === '' ? undefined : fieldPath(method, target, rpc),
    isAudited: getOption(method, audited) || needed === 'administer' || needed === 'operate',
    isAdministration:
      method.methodKind === 'unary' &&
      (needed === 'administer' || (needed === 'view' && place.kind === 'topic')),
  };
}

function scopeAccess(method: DescMethod, rpc: string): ScopeAccess {
  const { of } = getOption(method, scope);
  switch (of.case) {
    case 'topic':
    case 'at':
      return { kind: of.case, path: fieldPath(method, of.value, rpc) };
    case 'cluster':
    case 'listed':
    case 'caller':
      if (of.value) return { kind: of.case };
      break;
    case undefined:
  }
  throw undeclared(rpc, 'its scope says nothing');
}

function fieldPath(method: DescMethod, names: string, rpc: string): FieldPath {
  const path: number[] = [];
  let fields: readonly DescField[] = method.input.fields;
  let last: DescField | undefined;
  for (const name of names.split('.')) {
    const field = fields.find((one) => one.name === name);
    if (field === undefined) throw undeclared(rpc, `its request has no field ${names}`);
    path.push(field.number);
    fields = field.message?.fields ?? [];
    last = field;
  }
  if (last?.fieldKind === 'scalar' && last.scalar === ScalarType.STRING) return path;
  throw undeclared(rpc, `its field ${names} is no text`);
}

function undeclared(rpc: string, why: string): BrokerError {
  return new BrokerError('INTERNAL', `${rpc} cannot be served: ${why}`);
}
