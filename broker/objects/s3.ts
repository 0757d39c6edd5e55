// S3 and what speaks like it, through the MinIO client.
//
// Conditional writes are S3's: If-None-Match: * creates, If-Match swaps. The probe shows at start that they hold.
//
// Invariants:
// - A call that its signal ends gives its socket up (s3-transport.ts).
// - Nothing is retried here: a conditional write must not be, and who calls knows about the rest.
// - A body is exactly as long as its headers promised; a shorter one is a failure, never a short answer.
// - A write is one PUT: the client's multipart upload has no conditions.
import type { Agent, IncomingMessage } from 'node:http';
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
import { objectBytesMax, readBody, readRange } from './s3-body.ts';
import type { CredentialSource, S3Credentials } from './s3-credentials.ts';
import { s3Failure } from './s3-failure.ts';
import { s3Agent, s3Calls, s3Request, type S3Call } from './s3-transport.ts';
import { endpointOf, type S3Location } from './store-location.ts';

/** S3's limit. */
const pageKeys = 1000;

export class S3ObjectStore implements ObjectStore {
  private readonly location: S3Location;
  private readonly credentials: CredentialSource;
  private readonly agent: Agent;
  private client: { readonly made: Client; readonly of: S3Credentials } | undefined;

  constructor(location: S3Location, credentials: CredentialSource) {
    this.location = location;
    this.credentials = credentials;
    this.agent = s3Agent(location.tls);
  }

  /** Closes the sockets. */
  close(): void {
    this.agent.destroy();
  }

  get(key: ObjectKey, signal: AbortSignal): Promise<GetOutcome> {
    return this.calling('get', key, 'none', signal, async (client, call) => {
      const response = await client
        .getObject(this.location.bucket, this.nameOf(key))
        .catch(noSuchKey(call, undefined));
      if (response === undefined) return { outcome: 'missing' };
      const { headers } = response as IncomingMessage;
      const bytes = await readBody(response as IncomingMessage);
      return { outcome: 'found', bytes, tag: tagOf(headers.etag) };
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
      const bytes = await this.rangeOf(client, call, key, start, length);
      return bytes === undefined ? { outcome: 'missing' } : { outcome: 'found', bytes };
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
        .catch(noSuchKey(call, 'missing' as const));
      if (written === 'mismatch' || written === 'missing') return { outcome: written };
      return { outcome: 'swapped', tag: written.tag };
    });
  }

  async *list(prefix: string, signal: AbortSignal): AsyncGenerator<ListedObject, void> {
    const { bucket } = this.location;
    // No key begins so, and MinIO refuses to look.
    if (!/^[^/.][^/]*(\/[^/.][^/]*)*\/?$/.test(prefix) && prefix !== '') return;
    const before = this.nameOf('');
    for (let token = '', isLast = false; !isLast;) {
      const from = token;
      const page = await this.calling('list', prefix, 'none', signal, async (client) => {
        const found = await client.listObjectsV2Query(
          bucket,
          before + prefix,
          from,
          '',
          pageKeys,
          '',
        );
        const next = found.nextContinuationToken;
        // Half a list must not look like all of it, nor one page like more and more.
        if (found.isTruncated && (next === '' || next === from)) {
          throw new Error('the list goes on, but the answer does not say where');
        }
        return found;
      });
      for (const { name, size } of page.objects) {
        const key = name?.slice(before.length) ?? '';
        if (isObjectKey(key)) yield { key, bytes: size ?? 0 };
      }
      token = page.nextContinuationToken;
      isLast = !page.isTruncated;
    }
  }

  delete(key: ObjectKey, signal: AbortSignal): Promise<DeleteOutcome> {
    return this.calling('delete', key, 'unknown', signal, async (client, call) => {
      // S3 answers a delete of nothing like one of something, and to HEAD no missing bucket differs from a missing key.
      const found = await this.rangeOf(client, call, key, 0, 1);
      if (found === undefined) return { outcome: 'missing' };
      await client.removeObject(this.location.bucket, this.nameOf(key));
      return { outcome: 'deleted' };
    });
  }

  /** Undefined: there is no such key. Empty: it ends before. */
  private async rangeOf(
    client: Client,
    call: S3Call,
    key: ObjectKey,
    start: number,
    length: number,
  ): Promise<Buffer | undefined> {
    const response = await client
      .getPartialObject(this.location.bucket, this.nameOf(key), start, length)
      .catch((error: unknown) => {
        if (call.answer?.status === 416) return 'behind the end' as const;
        return noSuchKey(call, undefined)(error);
      });
    if (response === 'behind the end') return Buffer.alloc(0);
    return response && readRange(response as IncomingMessage, start, length);
  }

  /** The tag of what was written. */
  private async put(
    client: Client,
    key: ObjectKey,
    bytes: Uint8Array,
    headers: Readonly<Record<string, string>>,
  ): Promise<{ readonly tag: ObjectTag }> {
    const body = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    assert(body.length <= objectBytesMax, `an object has at most ${objectBytesMax} bytes`);
    const { bucket } = this.location;
    const name = this.nameOf(key);
    const written = await client.putObject(bucket, name, body, body.length, { ...headers });
    return { tag: tagOf(typeof written === 'string' ? written : written.etag) };
  }

  /** The client for the credentials of the moment. */
  private async clientNow(): Promise<Client> {
    const now = await this.credentials();
    if (this.client !== undefined && areSame(this.client.of, now)) return this.client.made;
    const { tls, host, port, region, pathStyle } = this.location;
    const transport = { request: s3Request(tls) } as ClientOptions['transport'];
    const made = new Client({
      ...now,
      endPoint: host,
      port,
      useSSL: tls,
      region,
      pathStyle,
      partSize: objectBytesMax,
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
    work: (client: Client, call: S3Call) => Promise<T>,
  ): Promise<T> {
    const call: S3Call = { signal, answer: undefined };
    const what = `${verb} ${this.location.bucket}/${this.nameOf(key)}`;
    const endpoint = endpointOf(this.location);
    return withSignal(signal, `object store ${endpoint}: ${what}`, effect, () =>
      s3Calls.run(call, async () => {
        try {
          return await work(await this.clientNow(), call);
        } catch (cause) {
          if (cause instanceof BrokerError) throw cause;
          throw await s3Failure({ what, endpoint, effect, cause, answer: call.answer });
        }
      }),
    );
  }
}

/** A handler that answers a missing key with the value; a missing bucket and all else goes on. */
function noSuchKey<T>(call: S3Call, value: T): (error: unknown) => T {
  return (error) => {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (call.answer?.status === 404 && code === 'NoSuchKey') return value;
    throw error;
  };
}

/** 412: the condition does not hold. */
function conditionFailed<T>(call: S3Call, value: T): (error: unknown) => T {
  return (error) => {
    if (call.answer?.status === 412) return value;
    throw error;
  };
}

function areSame(one: S3Credentials, other: S3Credentials): boolean {
  return (
    one.accessKey === other.accessKey &&
    one.secretKey === other.secretKey &&
    one.sessionToken === other.sessionToken
  );
}

/** An object without a tag could never be swapped. */
function tagOf(etag: string | undefined): ObjectTag {
  const tag = (etag ?? '').replaceAll('"', '');
  if (tag === '') throw new Error('the answer has no ETag');
  return tag as ObjectTag;
}
