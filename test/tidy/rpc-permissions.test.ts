import { globSync } from 'node:fs';
import {
  create,
  createFileRegistry,
  getOption,
  hasOption,
  setExtension,
  type DescFile,
  type DescMethod,
} from '@bufbuild/protobuf';
import {
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  MethodOptionsSchema,
} from '@bufbuild/protobuf/wkt';
import { expect, it } from 'vitest';
import { Permission, permission } from '../../proto/gen/millrace/v1/permission_pb.ts';
import { root } from './source-file.ts';

const generated = globSync('proto/gen/millrace/**/*_pb.ts', { cwd: root }).sort();

it('every RPC declares the permission that it asks for', async () => {
  const methods = await allMethods();
  expect(methods.length).toBeGreaterThanOrEqual(15);
  expect(undeclared(methods)).toEqual([]);
});

it('an RPC without a permission, or with an unspecified one, is caught', () => {
  const unspecified = create(MethodOptionsSchema);
  setExtension(unspecified, permission, Permission.UNSPECIFIED);
  const declared = create(MethodOptionsSchema);
  setExtension(declared, permission, Permission.VIEW);
  const file = create(FileDescriptorProtoSchema, {
    name: 'planted.proto',
    syntax: 'proto3',
    messageType: [{ name: 'Message' }],
    service: [
      {
        name: 'Planted',
        method: [
          { name: 'Nothing', inputType: '.Message', outputType: '.Message' },
          { name: 'Zero', inputType: '.Message', outputType: '.Message', options: unspecified },
          { name: 'Fine', inputType: '.Message', outputType: '.Message', options: declared },
        ],
      },
    ],
  });
  const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: [file] }));
  const methods = [...registry].flatMap((desc) => (desc.kind === 'service' ? desc.methods : []));
  expect(undeclared(methods)).toEqual(['Planted.Nothing', 'Planted.Zero']);
});

function undeclared(methods: readonly DescMethod[]): readonly string[] {
  return methods
    .filter(
      (method) =>
        !hasOption(method, permission) || getOption(method, permission) === Permission.UNSPECIFIED,
    )
    .map(({ parent, name }) => `${parent.name}.${name}`);
}

async function allMethods(): Promise<readonly DescMethod[]> {
  const files: DescFile[] = [];
  for (const path of generated) {
    const module = (await import(new URL(path, root).href)) as Readonly<Record<string, unknown>>;
    files.push(...Object.values(module).filter(isDescFile));
  }
  return files.flatMap(({ services }) => services.flatMap(({ methods }) => methods));
}

function isDescFile(value: unknown): value is DescFile {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'file';
}
