// The S3 adapter on a real store behind a proxy that spoils single requests: what was written is looked up afterwards
// in the store itself, so that "effect" is compared with what happened.
import { randomBytes } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import { Client } from 'minio';
import { AssumeRoleProvider } from 'minio/dist/esm/AssumeRoleProvider.mjs';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { BrokerError } from '../../broker/core/errors.ts';
import {
  objectKey,
  type ObjectKey,
  type ObjectStore,
  type ObjectTag,
} from '../../broker/objects/object-store.ts';
import type { CredentialSource } from '../../broker/objects/s3-credentials.ts';
import { S3ObjectStore } from '../../broker/objects/s3.ts';
import { parseStoreUrl } from '../../broker/objects/store-location.ts';
import { missingS3, S3Store } from '../services/minio.ts';
import { FaultProxy, pass, type Fault, type StoreAnswer } from '../support/fault-proxy.ts';
import { describeNeeding } from '../support/needs.ts';
import { rejectionOf } from '../support/reason-of.ts';

const one = Buffer.from('0123456789');
const two = Buffer.from('abcdefghij');
const within = (ms = 5_000): AbortSignal => AbortSignal.timeout(ms);

const hang = (): void => {};
const reset = (response: ServerResponse): void => {
  response.socket?.resetAndDestroy();
};

function refusal(status: number, code: string, message = 'no'): Fault {
  return {
    instead(response) {
      response.writeHead(status, { 'content-type': 'application/xml' });
      response.end(`<Error><Code>${code}</Code><Message>${message}</Message></Error>`);
    },
  };
}

/** Its headers promise all of the body, of which so much comes. */
function cutAfter(bytes: number): Fault {
  return {
    method: 'GET',
    afterwards({ status, headers, body }, response) {
      response.writeHead(status, { ...headers, 'content-length': String(body.length) });
      response.write(body.subarray(0, bytes), () => response.destroy());
    },
  };
}

describeNeeding(missingS3(), 'a real store behind a proxy', () => {
  let server: S3Store;
  let proxy: FaultProxy;
  let bucket: string;
  /** Behind the proxy. */
  let store: S3ObjectStore;
  /** The store itself. */
  let direct: S3ObjectStore;
  let key: ObjectKey;
  const opened: S3ObjectStore[] = [];

  beforeAll(async () => {
    server = await S3Store.start();
    proxy = await FaultProxy.start(server.address.endpoint);
    bucket = `faults-${randomBytes(4).toString('hex')}`;
    const { endpoint, accessKey, secretKey, region } = server.address;
    const { hostname, port, protocol } = new URL(endpoint);
    const useSSL = protocol === 'https:';
    const admin = { endPoint: hostname, port: Number(port), useSSL, accessKey, secretKey, region };
    await new Client(admin).makeBucket(bucket, region);
    store = open({});
    direct = open({ endpoint });
  });

  beforeEach(() => {
    proxy.failAll(undefined);
    key = objectKey('k', randomBytes(8).toString('hex'));
  });

  afterAll(async () => {
    for (const each of opened) each.close();
    await proxy[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  function open(options: {
    readonly endpoint?: string;
    readonly bucket?: string;
    readonly credentials?: CredentialSource;
  }): S3ObjectStore {
    const { accessKey, secretKey } = server.address;
    const own: CredentialSource = () => Promise.resolve({ accessKey, secretKey });
    const url = `s3://${options.bucket ?? bucket}/p?endpoint=${options.endpoint ?? proxy.endpoint}`;
    const location = parseStoreUrl(url);
    if (location.kind !== 's3') throw new Error('an S3 location');
    const made = new S3ObjectStore(location, options.credentials ?? own);
    opened.push(made);
    return made;
  }

  async function contentOf(name: ObjectKey): Promise<string> {
    const got = await direct.get(name, within());
    return got.outcome === 'found' ? got.bytes.toString() : got.outcome;
  }

  async function written(): Promise<ObjectTag> {
    const put = await direct.putIfAbsent(key, one, within());
    if (put.outcome !== 'written') throw new Error(put.outcome);
    return put.tag;
  }

  async function failed(call: Promise<unknown>): Promise<BrokerError> {
    const error = await rejectionOf(call);
    if (error === undefined) throw new Error('it did not fail');
    expect(error.reason).toBe('STORE_FAILED');
    expect(error.message).not.toContain(server.address.secretKey);
    // Says what to do, or that it is done.
    expect(error.message).toMatch(/; (it is tried again|retry)$|\): .{12,}|E[A-Z]+: .{12,}/);
    return error;
  }

  async function listed(from: ObjectStore): Promise<string[]> {
    const keys: string[] = [];
    for await (const object of from.list('k/', within())) keys.push(object.key);
    return keys;
  }

  describe('a write', () => {
    it('that hangs before the store has it ends with its deadline and an unknown effect', async () => {
      proxy.failNext({ instead: hang });
      const error = await failed(store.putIfAbsent(key, one, within(200)));
      expect(error).toMatchObject({ effect: 'unknown', metadata: { code: 'timeout' } });
      expect(await contentOf(key)).toBe('missing');
    });

    it('that hangs after the store has it has the same answer, and reading tells', async () => {
      proxy.failNext({ afterwards: hang });
      const error = await failed(store.putIfAbsent(key, one, within(500)));
      expect(error).toMatchObject({ effect: 'unknown', metadata: { code: 'timeout' } });
      expect(await contentOf(key)).toBe(one.toString());
      expect(await store.putIfAbsent(key, two, within())).toEqual({ outcome: 'exists' });
    });

    it('whose connection is reset after it took effect has an unknown effect', async () => {
      const tag = await written();
      proxy.failNext({ afterwards: (_answer, response) => reset(response) });
      const error = await failed(store.compareAndSwap(key, tag, two, within()));
      expect(error).toMatchObject({ effect: 'unknown', metadata: { code: 'ECONNRESET' } });
      expect(await contentOf(key)).toBe(two.toString());
      expect(await store.compareAndSwap(key, tag, one, within())).toEqual({ outcome: 'mismatch' });
    });

    it('that was answered with 503 after it took effect has an unknown effect', async () => {
      proxy.failNext({
        afterwards: (_answer, response) => refusal(503, 'SlowDown').instead?.(response),
      });
      const error = await failed(store.putIfAbsent(key, one, within()));
      expect(error).toMatchObject({ effect: 'unknown', metadata: { code: 'SlowDown' } });
      expect(await contentOf(key)).toBe(one.toString());
    });

    it('is sent once, whatever comes back', async () => {
      const tag = await written();
      const before = proxy.requestCount;
      for (const status of [500, 502, 503, 504, 429]) {
        proxy.failNext({ instead: (response) => response.writeHead(status).end('no XML') });
        const error = await failed(store.compareAndSwap(key, tag, two, within()));
        expect(error.effect).toBe(status === 429 ? 'none' : 'unknown');
      }
      expect(proxy.requestCount - before).toBe(5);
      expect(await contentOf(key)).toBe(one.toString());
    });

    it.each([408, 499])(
      'that something between gives up with %i may have happened',
      async (status) => {
        proxy.failNext({ afterwards: (_, response) => response.writeHead(status).end() });
        const error = await failed(store.putIfAbsent(key, one, within()));
        expect(error.effect).toBe('unknown');
        expect(await contentOf(key)).toBe(one.toString());
      },
    );

    it('whose answer has no tag is a failure: nothing could be swapped later', async () => {
      proxy.failNext({
        afterwards(answer, response) {
          const { etag, ...headers } = answer.headers;
          expect(etag).toBeDefined();
          pass({ ...answer, headers }, response);
        },
      });
      const error = await failed(store.putIfAbsent(key, one, within()));
      expect(error).toMatchObject({ effect: 'unknown', metadata: { code: 'bad_answer' } });
    });

    it('that is too large for something between is refused before it is sent', async () => {
      proxy.failNext({ method: 'PUT', instead: (response) => response.writeHead(413).end() });
      const error = await failed(store.putIfAbsent(key, one, within()));
      expect(error).toMatchObject({ effect: 'none' });
      expect(await contentOf(key)).toBe('missing');
    });
  });

  describe('a read', () => {
    beforeEach(async () => {
      await written();
    });

    it.each([0, 1, 9])('of which %i of 10 bytes come is a failure, never short data', async (n) => {
      proxy.failNext(cutAfter(n));
      expect(await failed(store.get(key, within()))).toMatchObject({ effect: 'none' });
      proxy.failNext(cutAfter(n));
      expect(await failed(store.getRange(key, 0, 10, within()))).toMatchObject({ effect: 'none' });
      expect(await store.getRange(key, 0, 10, within())).toMatchObject({ bytes: one });
    });

    const bent: readonly (readonly [string, (answer: StoreAnswer) => StoreAnswer])[] = [
      ['the whole object', (answer) => ({ ...answer, status: 200 })],
      [
        'another place',
        (a) => ({ ...a, headers: { ...a.headers, 'content-range': 'bytes 3-6/10' } }),
      ],
      ['less than asked for', (a) => withBody(a, a.body.subarray(0, 3))],
      ['an unknown place', withoutRange],
    ];

    it.each(bent)('of a range that is answered with %s is a failure', async (_, bend) => {
      proxy.failNext({
        method: 'GET',
        afterwards: (answer, response) => pass(bend(answer), response),
      });
      const error = await failed(store.getRange(key, 2, 4, within()));
      expect(error).toMatchObject({ effect: 'none', metadata: { code: 'bad_answer' } });
    });

    it('that says it has more bytes than any object takes no memory for them', async () => {
      proxy.failNext({
        afterwards(answer, response) {
          const headers = { ...answer.headers, 'content-length': String(2 ** 40) };
          response.writeHead(200, headers).write('x');
        },
      });
      const error = await failed(store.get(key, within()));
      expect(error.message).toContain('1099511627776');
    });

    it('that brings wrong bytes of the right length passes: whoever knows their CRC must look', async () => {
      proxy.failNext({
        afterwards: (a, response) => pass(withBody(a, Buffer.from('012345678X')), response),
      });
      expect(await store.get(key, within())).toMatchObject({ bytes: Buffer.from('012345678X') });
    });

    it('of a key that is gone is missing, of a bucket that is gone a failure', async () => {
      await direct.delete(key, within());
      expect(await store.get(key, within())).toEqual({ outcome: 'missing' });
      expect(await store.getRange(key, 0, 1, within())).toEqual({ outcome: 'missing' });
      const elsewhere = open({ bucket: `${bucket}-gone` });
      const calls = [
        () => elsewhere.get(key, within()),
        () => elsewhere.getRange(key, 0, 1, within()),
        () => elsewhere.putIfAbsent(key, one, within()),
        () => elsewhere.compareAndSwap(key, 'tag' as ObjectTag, one, within()),
        () => elsewhere.delete(key, within()),
        () => listed(elsewhere),
      ];
      for (const call of calls) {
        const error = await failed(call());
        expect(error).toMatchObject({ effect: 'none', metadata: { code: 'NoSuchBucket' } });
      }
    });
  });

  describe('a list', () => {
    it('that is cut off is a failure, never a shorter list', async () => {
      await written();
      proxy.failNext(cutAfter(200));
      expect(await failed(listed(store))).toMatchObject({ effect: 'none' });
      expect(await listed(store)).toContain(key);
    });

    it('that goes on without saying where is a failure, never a shorter or an endless one', async () => {
      const page = (more: string): Fault => ({
        instead(response) {
          response.end(
            `<ListBucketResult><IsTruncated>true</IsTruncated>${more}</ListBucketResult>`,
          );
        },
      });
      proxy.failNext(page(''));
      expect(await failed(listed(store))).toMatchObject({ metadata: { code: 'bad_answer' } });
      proxy.failAll(page('<NextContinuationToken>a</NextContinuationToken>'));
      expect(await failed(listed(store))).toMatchObject({ metadata: { code: 'bad_answer' } });
    });

    it('of more than a page has every key once, in order', async () => {
      const name = (i: number): ObjectKey => objectKey('k', 'many', String(i).padStart(4, '0'));
      const names = Array.from({ length: 1_100 }, (_, i) => name(i));
      for (let i = 0; i < names.length; i += 50) {
        await Promise.all(names.slice(i, i + 50).map((n) => direct.putIfAbsent(n, one, within())));
      }
      const found = (await listed(store)).filter((each) => each.startsWith('k/many/'));
      expect(found).toEqual(names);
    });
  });

  describe('a refusal', () => {
    it.each([
      [403, 'ExpiredToken', 'none', 'renew the credentials'],
      [409, 'ConditionalRequestConflict', 'none', 'tried again'],
      [400, 'EntityTooLarge', 'none', 'raise its limit'],
      [507, 'XMinioStorageFull', 'unknown', 'more disk or shorten retention'],
      [400, 'QuotaExceeded', 'none', 'raise its quota or shorten retention'],
      [301, 'PermanentRedirect', 'unknown', 'correct region or endpoint'],
      [501, 'NotImplemented', 'unknown', 'one with conditional writes'],
      [503, 'ServiceUnavailable', 'unknown', 'overloaded'],
    ] as const)('%i %s says what to do', async (status, code, effect, next) => {
      proxy.failNext(refusal(status, code));
      const error = await failed(store.putIfAbsent(key, one, within()));
      expect(error).toMatchObject({ effect, metadata: { code } });
      expect(error.message).toContain(next);
    });

    it('of a clock that is wrong is found by the store, and the message says so', async () => {
      const past = new Date(Date.now() - 3_600_000).toISOString().replace(/[-:]|\.\d+/g, '');
      proxy.failNext({ headers: { 'x-amz-date': past } });
      const error = await failed(store.putIfAbsent(key, one, within()));
      expect(error).toMatchObject({ effect: 'none', metadata: { code: 'RequestTimeTooSkewed' } });
      expect(error.message).toContain("set this machine's clock");
    });

    it('of wrong credentials shows neither them nor what was signed', async () => {
      const { accessKey } = server.address;
      const wrong = open({
        credentials: () => Promise.resolve({ accessKey, secretKey: 'not-the-secret' }),
      });
      const error = await failed(wrong.delete(key, within()));
      expect(error).toMatchObject({ effect: 'none', metadata: { code: 'SignatureDoesNotMatch' } });
      expect(JSON.stringify([error.message, error.cause, error.metadata])).not.toMatch(
        /not-the-secret|AWS4-HMAC/,
      );
    });

    it('in whatever words cannot forge a line of the log', async () => {
      proxy.failNext(refusal(400, 'Odd', 'one\nERROR forged'));
      const error = await failed(store.putIfAbsent(key, one, within()));
      expect(error.message).not.toContain('\n');
    });

    it('of writes by credentials that may only read lets reads go on', async () => {
      const tag = await written();
      const readOnly = open({ credentials: await readOnlyCredentials() });
      const writes = [
        () => readOnly.putIfAbsent(objectKey('k/new'), one, within()),
        () => readOnly.compareAndSwap(key, tag, two, within()),
        () => readOnly.delete(key, within()),
      ];
      for (const call of writes) {
        const error = await failed(call());
        expect(error).toMatchObject({ effect: 'none', metadata: { code: 'AccessDenied' } });
        expect(error.message).toContain('give the credentials the right');
      }
      expect(await readOnly.get(key, within())).toMatchObject({ bytes: one });
      expect(await listed(readOnly)).toContain(key);
    });
  });

  it('a secret that alone has changed is used from the next call on', async () => {
    const { accessKey, secretKey } = server.address;
    let now = 'old-secret';
    const rotating = open({ credentials: () => Promise.resolve({ accessKey, secretKey: now }) });
    expect(await failed(rotating.get(key, within()))).toMatchObject({
      metadata: { code: 'SignatureDoesNotMatch' },
    });
    now = secretKey;
    expect(await rotating.get(key, within())).toEqual({ outcome: 'missing' });
  });

  it('200 calls that were given up leave no socket, and the next ones work', async () => {
    await written();
    await using own = await FaultProxy.start(server.address.endpoint);
    const giving = open({ endpoint: own.endpoint });
    own.failAll({ instead: hang });
    const calls = Array.from({ length: 200 }, (_, i) => {
      const signal = within(200);
      const name = objectKey('k', 'given-up', String(i));
      if (i % 4 === 0) return failed(giving.putIfAbsent(name, Buffer.alloc(64 * 1024), signal));
      if (i % 4 === 1) return failed(giving.get(key, signal));
      if (i % 4 === 2) return failed(giving.delete(key, signal));
      return failed(giving.getRange(key, 0, 1, signal));
    });
    for (const error of await Promise.all(calls)) expect(error.metadata['code']).toBe('timeout');
    // One or two may have been made for a call that was given up while it waited for one: idle, and soon closed.
    await expect.poll(() => own.connectionCount).toBeLessThanOrEqual(2);
    // In the middle of a body, too.
    own.failAll({
      afterwards({ status, headers, body }, response) {
        response.writeHead(status, headers).write(body.subarray(0, 1));
      },
    });
    const halves = Array.from({ length: 100 }, () => failed(giving.get(key, within(300))));
    for (const error of await Promise.all(halves)) expect(error.metadata['code']).toBe('timeout');
    await expect.poll(() => own.connectionCount).toBeLessThanOrEqual(2);
    own.failAll(undefined);
    expect(await giving.get(key, within())).toMatchObject({ bytes: one });
  });

  it('refusals whose bodies the client drops leave no socket busy', async () => {
    await using own = await FaultProxy.start(server.address.endpoint);
    const refused = open({ endpoint: own.endpoint });
    own.failAll(refusal(503, 'SlowDown', 'x'.repeat(100_000)));
    for (let i = 0; i < 100; i++) {
      const error = await failed(refused.putIfAbsent(key, one, within()));
      expect(error.metadata['code']).toBe('SlowDown');
    }
    expect(own.connectionCount).toBeLessThanOrEqual(2);
  });

  it('idle connections are closed by us before S3 closes them under a write', async () => {
    await using own = await FaultProxy.start(server.address.endpoint);
    const idle = open({ endpoint: own.endpoint });
    await Promise.all(Array.from({ length: 5 }, () => idle.get(key, within())));
    expect(own.connectionCount).toBe(5);
    await expect.poll(() => own.connectionCount, { timeout: 8_000, interval: 100 }).toBe(0);
  });

  /** The store's own keys with a session policy over them: what they may not is refused by the store itself. */
  async function readOnlyCredentials(): Promise<CredentialSource> {
    const { endpoint, accessKey, secretKey, region } = server.address;
    const statement = {
      Effect: 'Allow',
      Action: ['s3:GetObject', 's3:ListBucket'],
      Resource: ['*'],
    };
    const policy = { Version: '2012-10-17', Statement: [statement] };
    const role = new AssumeRoleProvider({
      stsEndpoint: endpoint,
      accessKey,
      secretKey,
      region,
      policy: JSON.stringify(policy),
      action: 'AssumeRole',
    });
    const given = await role.getCredentials();
    const credentials = {
      accessKey: given.getAccessKey(),
      secretKey: given.getSecretKey(),
      sessionToken: given.getSessionToken() ?? '',
    };
    return () => Promise.resolve(credentials);
  }
});

function withoutRange({ headers, ...answer }: StoreAnswer): StoreAnswer {
  const { 'content-range': range, ...others } = headers;
  expect(range).toBeDefined();
  return { ...answer, headers: others };
}

function withBody(answer: StoreAnswer, body: Buffer): StoreAnswer {
  return { ...answer, body, headers: { ...answer.headers, 'content-length': String(body.length) } };
}
