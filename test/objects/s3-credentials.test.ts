import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { credentialsOf } from '../../broker/objects/s3-credentials.ts';
import { withTemporaryDirectory } from '../support/temporary-directory.ts';

const nowhere = { AWS_SHARED_CREDENTIALS_FILE: '/nowhere/credentials' };

it('credentials come from variables first', async () => {
  const source = await credentialsOf({
    ...nowhere,
    AWS_ACCESS_KEY_ID: 'k',
    AWS_SECRET_ACCESS_KEY: 's',
    AWS_SESSION_TOKEN: 't',
  });
  expect(await source()).toEqual({ accessKey: 'k', secretKey: 's', sessionToken: 't' });
});

it('credentials come from the profile of a file', () =>
  withTemporaryDirectory(async (directory) => {
    const path = join(directory, 'credentials');
    const text = [
      '[default]',
      'aws_access_key_id = a',
      'aws_secret_access_key = b',
      '[ other ]',
      'aws_access_key_id=c',
      'aws_secret_access_key=d/+=',
    ];
    await writeFile(path, text.join('\n'));
    const of = async (AWS_PROFILE?: string) =>
      (await credentialsOf({ AWS_SHARED_CREDENTIALS_FILE: path, AWS_PROFILE }))();
    expect(await of()).toEqual({ accessKey: 'a', secretKey: 'b' });
    expect(await of('other')).toEqual({ accessKey: 'c', secretKey: 'd/+=' });
    await expect(of('third')).rejects.toMatchObject({ reason: 'STORE_FAILED' });
  }));

it('without any the error says where they were looked for', async () => {
  await expect(credentialsOf(nowhere)).rejects.toThrow(
    /AWS_ACCESS_KEY_ID.*\/nowhere\/credentials.*AWS_ROLE_ARN/,
  );
});
