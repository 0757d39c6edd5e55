// How the MinIO client's requests reach the network: with the signal of the call that makes them, and telling it what
// was answered. The client itself can neither abort nor say the status of an error.
//
// Invariants:
// - A request ends with the signal of its call, and its socket with it.
// - Every body is read by somebody: one that the client drops unread would hold its socket for ever.
import { AsyncLocalStorage } from 'node:async_hooks';
import http, { type ClientRequest, type IncomingMessage, type RequestOptions } from 'node:http';
import https from 'node:https';
import { hostFault } from '../core/server-identity.ts';

/** What the server answered to the last request of a call. */
export interface S3Answer {
  readonly status: number;
  /** The beginning of an error's body, where the client does not read it. */
  readonly body: Promise<string>;
}

/** One call to the store, as its requests see it. */
export interface S3Call {
  readonly signal: AbortSignal;
  /** Undefined before the server has answered. */
  answer: S3Answer | undefined;
}

export const s3Calls = new AsyncLocalStorage<S3Call>();

const socketsMax = 64;
/**
 * S3 closes what is idle, after 5 to 20 s as people have seen. A write on a connection that is just being closed has an
 * unclear outcome, so ours close first.
 */
const idleMs = 4_000;
/** What of an error's body is looked at. */
const errorBodyBytes = 4096;
/** What the client would try again, if it were let: it drops their bodies. */
const bodiesDropped: ReadonlySet<number> = new Set([408, 429, 499, 500, 502, 503, 504, 520]);

export function s3Agent(tls: boolean): http.Agent {
  const options = { keepAlive: true, maxSockets: socketsMax, timeout: idleMs };
  return tls
    ? new https.Agent({ ...options, checkServerIdentity: hostFault })
    : new http.Agent(options);
}

/** For the client's option `transport`. */
export function s3Request(tls: boolean) {
  const { request } = tls ? https : http;
  return (
    options: RequestOptions,
    onResponse: (response: IncomingMessage) => void,
  ): ClientRequest => {
    const call = s3Calls.getStore();
    if (call === undefined) return request(options, onResponse);
    call.answer = undefined;
    return request({ ...options, signal: call.signal }, (response) => {
      call.answer = answerOf(response);
      onResponse(response);
    });
  };
}

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
