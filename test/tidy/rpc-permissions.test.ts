// Every RPC says in the proto what it asks for and where. The broker refuses to start with one that does not; this says
// so before.
import {
  create,
  createFileRegistry,
  setExtension,
  type DescMethod,
  type MessageInitShape,
} from '@bufbuild/protobuf';
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  MethodOptionsSchema,
  type MethodOptions,
} from '@bufbuild/protobuf/wkt';
import { expect, it } from 'vitest';
import { methodAccess } from '../../broker/server/method-access.ts';
import {
  Permission,
  permission,
  scope,
  ScopeSchema,
} from '../../proto/gen/millrace/v1/permission_pb.ts';
import { allMethods } from '../support/all-methods.ts';
import { reasonOf } from '../support/reason-of.ts';

it('every RPC declares the permission that it asks for and where its request says what it is about', async () => {
  const methods = await allMethods();
  expect(methods.length).toBeGreaterThanOrEqual(29);
  expect(undeclared(methods)).toEqual([]);
});

it('an RPC that declares too little, or a field that there is not, is caught', () => {
  const onTopic = { of: { case: 'topic' as const, value: 'name' } };
  const planted: Readonly<Record<string, MethodOptions | undefined>> = {
    Nothing: undefined,
    Zero: options(Permission.UNSPECIFIED, onTopic),
    NoScope: options(Permission.VIEW, undefined),
    EmptyScope: options(Permission.VIEW, {}),
    FalseScope: options(Permission.VIEW, { of: { case: 'cluster', value: false } }),
    NoSuchField: options(Permission.VIEW, { of: { case: 'topic', value: 'topic' } }),
    NoText: options(Permission.VIEW, { of: { case: 'at', value: 'count' } }),
    NoSuchTarget: options(Permission.CONSUME, { ...onTopic, target: 'to' }),
    NobodyAsked: options(Permission.AUTHENTICATED, onTopic),
    NothingAsked: options(Permission.VIEW, { of: { case: 'caller', value: true } }),
    Fine: options(Permission.VIEW, onTopic),
    AlsoFine: options(Permission.AUTHENTICATED, { of: { case: 'caller', value: true } }),
  };
  const faults = undeclared(plantedMethods(planted));
  const expected = Object.keys(planted).filter((name) => !name.includes('Fine'));
  expect(faults).toEqual(expected.map((name) => `Planted.${name}`));
});

function undeclared(methods: readonly DescMethod[]): readonly string[] {
  return methods
    .filter((method) => reasonOf(() => methodAccess(method)) !== 'nothing')
    .map(({ parent, name }) => `${parent.name}.${name}`);
}

function options(
  needed: Permission,
  place: MessageInitShape<typeof ScopeSchema> | undefined,
): MethodOptions {
  const made = create(MethodOptionsSchema);
  setExtension(made, permission, needed);
  if (place !== undefined) setExtension(made, scope, create(ScopeSchema, place));
  return made;
}

function plantedMethods(planted: Readonly<Record<string, MethodOptions | undefined>>) {
  const field = (name: string, number: number, type: FieldDescriptorProto_Type) => ({
    name,
    number,
    type,
    label: FieldDescriptorProto_Label.OPTIONAL,
  });
  const file = create(FileDescriptorProtoSchema, {
    name: 'planted.proto',
    syntax: 'proto3',
    messageType: [
      {
        name: 'Message',
        field: [
          field('name', 1, FieldDescriptorProto_Type.STRING),
          field('count', 2, FieldDescriptorProto_Type.UINT32),
        ],
      },
    ],
    service: [
      {
        name: 'Planted',
        method: Object.entries(planted).map(([name, made]) => ({
          name,
          inputType: '.Message',
          outputType: '.Message',
          ...(made === undefined ? {} : { options: made }),
        })),
      },
    ],
  });
  const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: [file] }));
  return [...registry].flatMap((desc) => (desc.kind === 'service' ? desc.methods : []));
}
