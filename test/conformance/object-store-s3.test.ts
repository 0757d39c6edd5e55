// The same checks on real stores: S3, and both adapters through the store's thread.
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { Client } from 'minio';
import { silentLog } from '../../broker/core/log.ts';
import { S3ObjectStore } from '../../broker/objects/s3.ts';
import type { ObjectStore } from '../../broker/objects/object-store.ts';
import type { Environment } from '../../broker/objects/s3-credentials.ts';
import {
  parseStoreUrl,
  type S3Location,
  type StoreLocation,
} from '../../broker/objects/store-location.ts';
import { openStoreInThread } from '../../broker/objects/store-thread.ts';
import { missingS3, S3Store } from '../services/minio.ts';
import { describeNeeding } from '../support/needs.ts';
import { withTemporaryDirectory } from '../support/temporary-directory.ts';
import { objectStoreChecks } from './object-store.ts';

async function runInThread(
  location: StoreLocation,
  variables: Environment,
  run: (store: ObjectStore) => Promise<void>,
): Promise<void> {
  const opened = await openStoreInThread({ location, variables }, silentLog);
  try {
    await run(opened.store);
  } finally {
    await opened.close();
  }
}

describe.each(objectStoreChecks)('an object store $claim', ({ run }) => {
  it('in a directory, through its thread', () =>
    withTemporaryDirectory(async (path) => {
      await runInThread({ kind: 'directory', path }, {}, run);
    }));
});

describeNeeding(missingS3(), 'on S3', () => {
  let server: S3Store;
  let bucket = '';

  beforeAll(async () => {
    server = await S3Store.start();
    const { endpoint, accessKey, secretKey, region } = server.address;
    const { hostname, port, protocol } = new URL(endpoint);
    bucket = `conformance-${randomBytes(4).toString('hex')}`;
    const client = new Client({
      endPoint: hostname,
      port: Number(port),
      useSSL: protocol === 'https:',
      accessKey,
      secretKey,
      region,
    });
    await client.makeBucket(bucket, region);
  });

  afterAll(async () => {
    await server[Symbol.asyncDispose]();
  });

  function location(): S3Location {
    const prefix = randomBytes(4).toString('hex');
    const url = `s3://${bucket}/${prefix}?endpoint=${server.address.endpoint}`;
    const parsed = parseStoreUrl(url);
    if (parsed.kind !== 's3') throw new Error('an S3 location');
    return parsed;
  }

  describe.each(objectStoreChecks)('an object store $claim', ({ run }) => {
    it('through its client', async () => {
      const { accessKey, secretKey } = server.address;
      const store = new S3ObjectStore(location(), () => Promise.resolve({ accessKey, secretKey }));
      await run(store).finally(() => store.close());
    });

    it('through its thread', async () => {
      const { accessKey, secretKey } = server.address;
      const variables = { AWS_ACCESS_KEY_ID: accessKey, AWS_SECRET_ACCESS_KEY: secretKey };
      await runInThread(location(), variables, run);
    });
  });
});
