import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { Client } from 'minio';
import { expect, it } from 'vitest';
import { describeNeeding, itNeeding } from '../support/needs.ts';
import { isBuilt, minio, python, stampPath } from './catalog.ts';
import { missingS3, S3Store } from './minio.ts';

const racers = 8;

describeNeeding(missingS3(), 'the store that tests start', () => {
  it('creates an object once, however many try at the same time', async () => {
    await using store = await S3Store.start();
    await using bucket = await TestBucket.create(store);
    const { client, name } = bucket;
    const attempts = Array.from({ length: racers }, (_, i) =>
      codeOf(client.putObject(name, 'a', `racer ${i}`, undefined, { 'If-None-Match': '*' })),
    );
    const codes = await Promise.all(attempts);
    expect(codes.filter((code) => code === 'ok')).toHaveLength(1);
    expect(codes.filter((code) => code === 'PreconditionFailed')).toHaveLength(racers - 1);
    expect(await bucket.textOf('a')).toBe(`racer ${codes.indexOf('ok')}`);
  });

  it('swaps an object only for the tag that it has', async () => {
    await using store = await S3Store.start();
    await using bucket = await TestBucket.create(store);
    const { client, name } = bucket;
    const { etag } = await client.putObject(name, 'a', 'first');
    const swap = (key: string, tag: string, text: string): Promise<string> =>
      codeOf(client.putObject(name, key, text, undefined, { 'If-Match': tag }));
    expect(await swap('a', etag, 'second')).toBe('ok');
    expect(await swap('a', etag, 'third')).toBe('PreconditionFailed');
    expect(await swap('missing', etag, 'fourth')).toBe('NoSuchKey');
    expect(await bucket.textOf('a')).toBe('second');
  });
});

itNeeding(missingS3(), 'a store that was started is gone when its test is done', async () => {
  const store = await S3Store.start();
  const { pid, address } = store;
  expect(await answers(address.endpoint)).toBe(true);
  await store[Symbol.asyncDispose]();
  // A store that the environment names belongs to somebody else and stays.
  expect(await answers(address.endpoint)).toBe(pid === undefined);
});

it('a binary without its stamp, or of another version, does not count as built', () => {
  expect(isBuilt({ ...minio, version: 'another' })).toBe(false);
  expect(isBuilt({ ...minio, name: 'no-such-service' })).toBe(false);
  expect(isBuilt({ ...python, path: '/no/such/file' })).toBe(false);
  expect(existsSync(stampPath('no-such-service'))).toBe(false);
});

/** A bucket of a test's own, so that nothing else in somebody's store is touched. */
class TestBucket implements AsyncDisposable {
  readonly name = `millrace-test-${randomUUID()}`;
  readonly client: Client;

  private constructor(client: Client) {
    this.client = client;
  }

  static async create({ address }: S3Store): Promise<TestBucket> {
    const { endpoint, accessKey, secretKey, region } = address;
    const url = new URL(endpoint);
    const useSSL = url.protocol === 'https:';
    const port = url.port === '' ? (useSSL ? 443 : 80) : Number(url.port);
    const endPoint = url.hostname;
    const bucket = new TestBucket(
      new Client({ endPoint, port, useSSL, accessKey, secretKey, region }),
    );
    await bucket.client.makeBucket(bucket.name);
    return bucket;
  }

  async textOf(key: string): Promise<string> {
    const chunks: Buffer[] = [];
    for await (const chunk of await this.client.getObject(this.name, key)) {
      chunks.push(chunk as Buffer);
    }
    return Buffer.concat(chunks).toString();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.removeObject(this.name, 'a');
    await this.client.removeBucket(this.name);
  }
}

/** `ok`, or the code that the store refuses with. */
async function codeOf(write: Promise<unknown>): Promise<string> {
  try {
    await write;
    return 'ok';
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : 'no code';
  }
}

async function answers(endpoint: string): Promise<boolean> {
  try {
    await (await fetch(endpoint)).arrayBuffer();
    return true;
  } catch {
    return false;
  }
}
