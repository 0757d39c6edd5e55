// S3 and what speaks like it, through the MinIO client.
//
// Conditional writes are S3's: If-None-Match: * creates, If-Match swaps. The probe shows at start that they hold.
//
// Invariants:
// - A call that its signal ends gives its socket up: the client has no way to abort, so the signal reaches the request
//   through an AsyncLocalStorage and a transport of our own.
// - Nothing is retried here: a conditional write must not be, and who calls knows about the rest.
// - A body is exactly as long as its headers promised; a shorter one is a failure, never a short answer.
// - A write is one PUT: the client's multipart upload has no conditions.
import { AsyncLocalStorage } from 'node:async_hooks';
import http, { type ClientRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import https from 'node:https';
import { Client, type ClientOptions } from 'minio';
import { assert } from '../core/assert.ts';
import { BrokerError, type ErrorEffect } from '../core/errors.ts';
import { withSignal } from './deadline.ts';
import type {
  DeleteOutcome,
  GetOutcome,
  GetRangeOutcome,
  ListedObject,
  ObjectKey,
  ObjectStore,
  ObjectTag,
  PutOutcome,
  SwapOutcome,
} from './object-store.ts';
import { isObjectKey } from './object-store.ts';
import { s3Failure, type S3Answer } from './s3-failure.ts';
import type { CredentialSource, S3Credentials } from './s3-credentials.ts';
import { endpointOf, type S3Location } from './store-location.ts';

/** Largest single PUT; an object is smaller. */
const putBytesMax = 512 * 1024 * 1024;
const socketsMax = 64;
const listPageKeys = 1000;
/** What of an error's body is looked at. */
const errorBodyBytes = 4096;

/** One call to the store, as its request sees it. */
interface Call {
  readonly signal: AbortSignal;
  /** What the server answered; undefined before it did. */
  answer: S3Answer | undefined;
}

const calls = new AsyncLocalStorage<Call>();

export class S3ObjectStore implements ObjectStore {
  private readonly location: S3Location;
  private readonly credentials: CredentialSource;
  private readonly agent: http.Agent;
  private client: { readonly made: Client; readonly of: S3Credentials } | undefined;

  constructor(location: S3Location, credentials: CredentialSource) {
    this.location = location;
    this.credentials = credentials;
    const options = { keepAlive: true, maxSockets: socketsMax };
    this.agent = location.tls ? new https.Agent(options) : new http.Agent(options);
  }

  /** Closes the sockets. */
  close(): void {
    this.agent.destroy();
  }

  get(key: ObjectKey, signal: AbortSignal): Promise<GetOutcome> {
    return this.calling('get', key, 'none', signal, async (client, call) => {
      const name = this.nameOf(key);
      const response = await client
        .getObject(this.location.bucket, name)
        .catch(notFound(call, 'NoSuchKey', undefined));
      if (response === undefined) return { outcome: 'missing' };
      const bytes = await readWhole(response as IncomingMessage);
      return { outcome: 'found', bytes, tag: tagOf((response as IncomingMessage).headers.etag) };
    });
  }

  getRange(
    key: ObjectKey,
    start: number,
    length: number,
    signal: AbortSignal,
  ): Promise<GetRangeOutcome> {
    assert(start >= 0 && length > 0, `range of ${length} bytes from ${start} on`);
    return this.calling('get range of', key, 'none', signal, async (client, call) => {
      const response = await client
        .getPartialObject(this.location.bucket, this.nameOf(key), start, length)
        .catch((error: unknown) => {
          if (call.answer?.status === 416) return 'behind the end' as const;
          return notFound(call, 'NoSuchKey', undefined)(error);
        });
      if (response === undefined) return { outcome: 'missing' };
      if (response === 'behind the end') return { outcome: 'found', bytes: Buffer.alloc(0) };
      return { outcome: 'found', bytes: await readWhole(response as IncomingMessage) };
    });
  }

  putIfAbsent(key: ObjectKey, bytes: Uint8Array, signal: AbortSignal): Promise<PutOutcome> {
    return this.calling('put', key, 'unknown', signal, async (client, call) => {
      const written = await this.put(client, key, bytes, { 'If-None-Match': '*' }).catch(
        conditionFailed(call, 'exists' as const),
      );
      if (written === 'exists') return { outcome: 'exists' };
      return { outcome: 'written', tag: written.tag };
    });
  }

  compareAndSwap(
    key: ObjectKey,
    expected: ObjectTag,
    bytes: Uint8Array,
    signal: AbortSignal,
  ): Promise<SwapOutcome> {
    return this.calling('swap', key, 'unknown', signal, async (client, call) => {
      const written = await this.put(client, key, bytes, { 'If-Match': `"${expected}"` })
        .catch(conditionFailed(call, 'mismatch' as const))
        .catch(notFound(call, 'NoSuchKey', 'missing' as const));
      if (written === 'mismatch' || written === 'missing') return { outcome: written };
      return { outcome: 'swapped', tag: written.tag };
    });
  }

  async *list(prefix: string, signal: AbortSignal): AsyncGenerator<ListedObject, void> {
    const { bucket } = this.location;
    // No key begins so, and MinIO refuses to look.
    if (!/^[^/.][^/]*(\/[^/.][^/]*)*\/?$/.test(prefix) && prefix !== '') return;
    const before = this.nameOf('');
    let continuation = '';
    do {
      const token = continuation;
      const page = await this.calling('list', prefix, 'none', signal, (client) =>
        client.listObjectsV2Query(bucket, before + prefix, token, '', listPageKeys, ''),
      );
      for (const { name, size } of page.objects) {
        const key = name?.slice(before.length) ?? '';
        if (isObjectKey(key)) yield { key, bytes: size ?? 0 };
      }
      continuation = page.isTruncated ? page.nextContinuationToken : '';
    } while (continuation !== '');
  }

  delete(key: ObjectKey, signal: AbortSignal): Promise<DeleteOutcome> {
    return this.calling('delete', key, 'unknown', signal, async (client, call) => {
      const { bucket } = this.location;
      const name = this.nameOf(key);
      // S3 answers a delete of nothing like one of something.
      const found = await client
        .statObject(bucket, name)
        .catch(notFound(call, 'NotFound', undefined));
      if (found === undefined) return { outcome: 'missing' };
      await client.removeObject(bucket, name);
      return { outcome: 'deleted' };
    });
  }

  /** The tag of what was written. */
  private async put(
    client: Client,
    key: ObjectKey,
    bytes: Uint8Array,
    headers: Readonly<Record<string, string>>,
  ): Promise<{ readonly tag: ObjectTag }> {
    const body = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    assert(body.length <= putBytesMax, `an object has at most ${putBytesMax} bytes`);
    const { bucket } = this.location;
    const name = this.nameOf(key);
    const written = await client.putObject(bucket, name, body, body.length, { ...headers });
    return { tag: tagOf(typeof written === 'string' ? written : written.etag) };
  }

  /** The client for the credentials of the moment. */
  private async clientNow(): Promise<Client> {
    const now = await this.credentials();
    if (
      this.client?.of.accessKey === now.accessKey &&
      this.client.of.sessionToken === now.sessionToken
    ) {
      return this.client.made;
    }
    const { tls, host, port, region, pathStyle } = this.location;
    const transport = { request: requestThrough(tls) } as ClientOptions['transport'];
    const made = new Client({
      ...now,
      endPoint: host,
      port,
      useSSL: tls,
      region,
      pathStyle,
      partSize: putBytesMax,
      ...(transport === undefined ? {} : { transport }),
      transportAgent: this.agent,
      retryOptions: { disableRetry: true },
    });
    this.client = { made, of: now };
    return made;
  }

  private nameOf(key: string): string {
    return this.location.prefix === '' ? key : `${this.location.prefix}/${key}`;
  }

  private calling<T>(
    verb: string,
    key: string,
    effect: ErrorEffect,
    signal: AbortSignal,
    work: (client: Client, call: Call) => Promise<T>,
  ): Promise<T> {
    const call: Call = { signal, answer: undefined };
    const what = `${verb} ${this.location.bucket}/${this.nameOf(key)}`;
    return withSignal(signal, `object store: ${what}`, effect, () =>
      calls.run(call, async () => {
        try {
          return await work(await this.clientNow(), call);
        } catch (cause) {
          if (cause instanceof BrokerError) throw cause;
          const endpoint = endpointOf(this.location);
          throw await s3Failure({ what, endpoint, effect, cause, answer: call.answer });
        }
      }),
    );
  }
}

/** Requests that end with the signal of the call that makes them, and tell it what was answered. */
function requestThrough(tls: boolean) {
  const { request } = tls ? https : http;
  return (options: RequestOptions, onResponse: (response: IncomingMessage) => void) => {
    const call = calls.getStore();
    const sent: ClientRequest = request(
      call === undefined ? options : { ...options, signal: call.signal },
      (response) => {
        if (call !== undefined) call.answer = answerOf(response);
        onResponse(response);
      },
    );
    return sent;
  };
}

/** What the client would try again, if it were let: it throws their bodies away unread. */
const bodiesDropped: ReadonlySet<number> = new Set([408, 429, 499, 500, 502, 503, 504, 520]);

/** Keeps what an error says where the client does not. */
function answerOf(response: IncomingMessage): S3Answer {
  const status = response.statusCode ?? 0;
  if (!bodiesDropped.has(status)) return { status, body: Promise.resolve('') };
  const chunks: Buffer[] = [];
  let bytes = 0;
  const body = new Promise<string>((resolve) => {
    const finish = (): void => resolve(Buffer.concat(chunks).toString());
    response.on('data', (chunk: Buffer) => {
      if (bytes < errorBodyBytes) chunks.push(chunk);
      bytes += chunk.length;
    });
    response.once('end', finish);
    response.once('close', finish);
    response.once('error', finish);
  });
  return { status, body };
}

/** A handler that answers a missing key with the value; a missing bucket and all else goes on. */
function notFound<T>(call: Call, code: string, value: T): (error: unknown) => T {
  return (error) => {
    const isKey = codeOf(error) === code || codeOf(error) === 'NoSuchKey';
    if (call.answer?.status === 404 && isKey) return value;
    throw error;
  };
}

/** 412: the condition does not hold. */
function conditionFailed<T>(call: Call, value: T): (error: unknown) => T {
  return (error) => {
    if (call.answer?.status === 412) return value;
    throw error;
  };
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}

function tagOf(etag: string | undefined): ObjectTag {
  return (etag ?? '').replaceAll('"', '') as ObjectTag;
}

/** All bytes of the body, in a buffer of their own; throws when there are fewer or more than promised. */
async function readWhole(response: IncomingMessage): Promise<Buffer> {
  const length = Number(response.headers['content-length']);
  if (!Number.isSafeInteger(length)) throw new Error('the answer does not say how long it is');
  const bytes = Buffer.allocUnsafeSlow(length);
  let filled = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    if (filled + chunk.length > length) throw new Error('the answer is longer than it said');
    filled += chunk.copy(bytes, filled);
  }
  if (filled < length) throw new Error(`the answer ended after ${filled} of ${length} bytes`);
  return bytes;
}
