// What the S3 adapter makes of a server that misbehaves: each fault of the wire has an outcome, an effect and a code.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BrokerError } from '../../broker/core/errors.ts';
import { objectKey, type ObjectTag } from '../../broker/objects/object-store.ts';
import { S3ObjectStore } from '../../broker/objects/s3.ts';
import { parseStoreUrl } from '../../broker/objects/store-location.ts';

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

let server: Server;
let store: S3ObjectStore;
let answer: Answer = () => {};
let sockets = 0;
const key = objectKey('a', 'b');
const tag = 'tag' as ObjectTag;
const secret = 'a-secret-that-must-not-show';

beforeEach(async () => {
  server = createServer((request, response) => {
    request.resume();
    request.once('end', () => answer(request, response));
  });
  server.on('connection', (socket) => {
    sockets++;
    socket.once('close', () => sockets--);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  const location = parseStoreUrl(`s3://bucket/p?endpoint=http://127.0.0.1:${port}`);
  if (location.kind !== 's3') throw new Error('an S3 location');
  store = new S3ObjectStore(location, () =>
    Promise.resolve({ accessKey: 'key', secretKey: secret }),
  );
});

afterEach(() => {
  store.close();
  server.closeAllConnections();
  server.close();
});

function refusal(status: number, code: string): Answer {
  return (_request, response) => {
    response.writeHead(status, { 'content-type': 'application/xml' });
    response.end(`<Error><Code>${code}</Code><Message>no</Message></Error>`);
  };
}

const within = (ms = 2_000): AbortSignal => AbortSignal.timeout(ms);
const put = (): Promise<unknown> => store.putIfAbsent(key, Buffer.from('x'), within());
const swap = (): Promise<unknown> => store.compareAndSwap(key, tag, Buffer.from('x'), within());
const get = (): Promise<unknown> => store.get(key, within());
const getRange = (): Promise<unknown> => store.getRange(key, 0, 100, within());

async function failureOf(call: Promise<unknown>): Promise<BrokerError> {
  const error: unknown = await call.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof BrokerError)) throw new Error(`it did not fail: ${String(error)}`);
  expect(error.message).not.toContain(secret);
  return error;
}

describe('a refusal', () => {
  const refusals = [
    [403, 'AccessDenied', 'none'],
    [403, 'ExpiredToken', 'none'],
    [403, 'RequestTimeTooSkewed', 'none'],
    [404, 'NoSuchBucket', 'none'],
    [500, 'InternalError', 'unknown'],
    [503, 'SlowDown', 'unknown'],
    [507, 'XMinioStorageFull', 'unknown'],
  ] as const;

  it.each(refusals)('%i %s of a put is told with what to do, and its effect', async (...row) => {
    const [status, code, effect] = row;
    answer = refusal(status, code);
    const error = await failureOf(put());
    expect(error).toMatchObject({ reason: 'STORE_FAILED', effect, metadata: { code } });
    expect(error.message).toMatch(/; it is tried again$|: [a-z].+/);
  });

  it('of a read had no effect, whatever the code', async () => {
    answer = refusal(503, 'SlowDown');
    expect(await failureOf(get())).toMatchObject({
      effect: 'none',
      metadata: { code: 'SlowDown' },
    });
  });

  it('of a condition is an outcome', async () => {
    answer = refusal(412, 'PreconditionFailed');
    expect(await put()).toEqual({ outcome: 'exists' });
    expect(await swap()).toEqual({ outcome: 'mismatch' });
    answer = refusal(404, 'NoSuchKey');
    expect(await swap()).toEqual({ outcome: 'missing' });
    expect(await get()).toEqual({ outcome: 'missing' });
    answer = refusal(416, 'InvalidRange');
    expect(await getRange()).toMatchObject({ outcome: 'found', bytes: Buffer.alloc(0) });
  });

  it('as concurrent is a failure that may be tried again', async () => {
    answer = refusal(409, 'ConditionalRequestConflict');
    expect(await failureOf(put())).toMatchObject({ reason: 'STORE_FAILED', effect: 'none' });
  });
});

describe('a broken answer', () => {
  it('that is shorter than it said is a failure, never short data', async () => {
    answer = (_request, response) => {
      response.writeHead(206, { 'content-length': '100', etag: '"t"' });
      response.write(Buffer.alloc(40));
      setImmediate(() => response.destroy());
    };
    expect(await failureOf(getRange())).toMatchObject({ reason: 'STORE_FAILED', effect: 'none' });
    expect(await failureOf(get())).toMatchObject({ reason: 'STORE_FAILED', effect: 'none' });
  });

  it('whose connection is reset leaves open whether a write took effect', async () => {
    answer = (request) => request.socket.resetAndDestroy();
    expect(await failureOf(put())).toMatchObject({ reason: 'STORE_FAILED', effect: 'unknown' });
    expect(await failureOf(get())).toMatchObject({ reason: 'STORE_FAILED', effect: 'none' });
  });

  it('that never comes ends with the deadline, and its socket is given up', async () => {
    answer = () => {};
    const calls = Array.from({ length: 50 }, () =>
      failureOf(store.putIfAbsent(key, Buffer.from('x'), within(100))),
    );
    for (const error of await Promise.all(calls)) {
      expect(error).toMatchObject({ reason: 'STORE_FAILED', effect: 'unknown' });
    }
    await expect.poll(() => sockets).toBe(0);
  });
});

it('a store that is not there was never reached', async () => {
  const location = parseStoreUrl('s3://bucket/p?endpoint=http://127.0.0.1:1');
  if (location.kind !== 's3') throw new Error('an S3 location');
  const away = new S3ObjectStore(location, () =>
    Promise.resolve({ accessKey: 'key', secretKey: secret }),
  );
  const error = await failureOf(away.putIfAbsent(key, Buffer.from('x'), within()));
  expect(error).toMatchObject({ effect: 'none', metadata: { code: 'ECONNREFUSED' } });
  away.close();
});
