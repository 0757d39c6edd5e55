import { appendFile, cp, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { withTemporaryDirectory } from '../support/temporary-directory.ts';
import { staleFiles } from '../tools/generated-is-fresh.ts';
import { root } from './source-file.ts';

const generated = fileURLToPath(new URL('proto/gen', root));

it('generated code is what the generator makes of the proto files', () => {
  expect(staleFiles(generated), 'run: npm run generate').toEqual([]);
});

it('a generated file that is edited, left over, renamed or gone is caught', async () => {
  await withTemporaryDirectory(async (directory) => {
    const copy = join(directory, 'gen');
    await cp(generated, copy, { recursive: true });
    const v1 = join(copy, 'millrace', 'v1');
    await appendFile(join(v1, 'read_pb.ts'), '// by hand\n');
    await writeFile(join(v1, 'old_pb.ts'), '');
    await rename(join(v1, 'error_pb.ts'), join(v1, 'errors_pb.ts'));
    await rm(join(v1, 'topic_pb.ts'));
    expect([...staleFiles(copy)].sort()).toEqual([
      'millrace/v1/error_pb.ts is missing',
      'millrace/v1/errors_pb.ts has no .proto any more',
      'millrace/v1/old_pb.ts has no .proto any more',
      'millrace/v1/read_pb.ts is not what the generator makes now',
      'millrace/v1/topic_pb.ts is missing',
    ]);
  });
});
