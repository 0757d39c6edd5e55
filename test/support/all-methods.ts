// Every RPC that the proto files have, found as the generated code has them: none can be forgotten in a list.
import type { DescFile, DescMethod } from '@bufbuild/protobuf';
import { globSync } from 'node:fs';
import { root } from '../tidy/source-file.ts';

const generated = globSync('proto/gen/millrace/**/*_pb.ts', { cwd: root }).sort();

export async function allMethods(): Promise<readonly DescMethod[]> {
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
