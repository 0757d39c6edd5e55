import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { credentialsOf } from '../../broker/objects/s3-credentials.ts';
import { rejectionOf } from '../support/reason-of.ts';
import { withTemporaryDirectory } from '../support/temporary-directory.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

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

it('half of the credentials in variables is an error, not another place to look', async () => {
  for (const name of ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY']) {
    const error = await rejectionOf(credentialsOf({ ...nowhere, [name]: 'hunter2' }));
    expect(error).toMatchObject({ reason: 'STORE_FAILED', metadata: { code: 'no_credentials' } });
    expect(error?.message).not.toContain('hunter2');
  }
});

it('a variable that is empty counts as none', async () => {
  const empty = { AWS_ACCESS_KEY_ID: '', AWS_SECRET_ACCESS_KEY: '', AWS_SESSION_TOKEN: '' };
  const error = await rejectionOf(credentialsOf({ ...nowhere, ...empty, AWS_PROFILE: '' }));
  expect(error?.message).toContain('no credentials');
  const source = await credentialsOf({
    ...nowhere,
    AWS_ACCESS_KEY_ID: 'k',
    AWS_SECRET_ACCESS_KEY: 's',
    AWS_SESSION_TOKEN: '',
  });
  expect(await source()).toEqual({ accessKey: 'k', secretKey: 's' });
});

it('a file is read again every half a minute, and what was good is kept while it is being replaced', () =>
  withTemporaryDirectory(async (directory) => {
    const path = join(directory, 'credentials');
    const write = (key: string, secret: string): Promise<void> =>
      writeFile(path, `[default]\naws_access_key_id=${key}\naws_secret_access_key=${secret}\n`);
    const clock = new VirtualClock();
    await write('k1', 's1');
    const source = await credentialsOf({ AWS_SHARED_CREDENTIALS_FILE: path }, clock);
    expect((await source()).accessKey).toBe('k1');
    await write('k2', 's2');
    expect((await source()).accessKey).toBe('k1');
    clock.advance(31_000);
    expect(await source()).toEqual({ accessKey: 'k2', secretKey: 's2' });
    await rm(path);
    clock.advance(31_000);
    expect((await source()).accessKey).toBe('k2');
    await write('k3', 's3');
    clock.advance(31_000);
    expect((await source()).accessKey).toBe('k3');
  }));
