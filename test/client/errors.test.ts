import { Metadata, status, type ServiceError } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { BrokerError, reasons, type ErrorReason } from '../../broker/core/errors.ts';
import { errorItem, serviceError } from '../../broker/server/status.ts';
import { Backoff, backoffMs } from '../../client/src/backoff.ts';
import {
  clientError,
  errorOfItem,
  isTransient,
  MillraceError,
  toMillraceError,
} from '../../client/src/errors.ts';

const everyReason = Object.keys(reasons) as ErrorReason[];

describe('an error of the broker', () => {
  it.each(everyReason)('%s keeps its kind, reason and facts over a status', (reason) => {
    const thrown = brokerError(reason);
    expect(toMillraceError(serviceError(thrown))).toMatchObject(expected(thrown));
  });

  it.each(everyReason)('%s keeps its kind, reason and facts as an item of a stream', (reason) => {
    const thrown = brokerError(reason);
    expect(errorOfItem(errorItem(thrown))).toMatchObject(expected(thrown));
  });

  it('says that the effect is unknown when it is', () => {
    const thrown = new BrokerError('JOURNAL_FAILED', 'the commit failed', { effect: 'unknown' });
    expect(toMillraceError(serviceError(thrown)).effect).toBe('unknown');
    expect(errorOfItem(errorItem(thrown)).effect).toBe('unknown');
  });
});

describe('an error that is not of the broker', () => {
  it('is UNREACHABLE with an unknown effect when the connection was lost', () => {
    expect(toMillraceError(plainStatus(status.UNAVAILABLE))).toMatchObject({
      kind: 'unavailable',
      reason: 'UNREACHABLE',
      effect: 'unknown',
      code: status.UNAVAILABLE,
    });
  });

  it('is named after its status otherwise', () => {
    expect(toMillraceError(plainStatus(status.DEADLINE_EXCEEDED)).reason).toBe('DEADLINE_EXCEEDED');
    expect(toMillraceError(plainStatus(status.UNIMPLEMENTED)).kind).toBe('internal');
  });

  it('is UNREACHABLE too when HTTP/2 reset the stream: the broker explains its own failures', () => {
    const error = toMillraceError(plainStatus(status.INTERNAL));
    expect(error).toMatchObject({ reason: 'UNREACHABLE', effect: 'unknown' });
    expect(isTransient(error)).toBe(true);
  });

  it('survives details that are no google.rpc.Status', () => {
    const error = plainStatus(status.NOT_FOUND);
    error.metadata.set('grpc-status-details-bin', Buffer.from('ff01ff', 'hex'));
    expect(toMillraceError(error)).toMatchObject({ kind: 'missing', reason: 'NOT_FOUND' });
  });

  it('is INTERNAL with the original as its cause when it is no error of a call', () => {
    const cause = new TypeError('x is not a function');
    expect(toMillraceError(cause)).toMatchObject({ kind: 'internal', reason: 'INTERNAL', cause });
  });

  it('stays what it is when it is a MillraceError', () => {
    const error = clientError('CLIENT_CLOSED', 'closed');
    expect(toMillraceError(error)).toBe(error);
    expect(error).toBeInstanceOf(MillraceError);
  });
});

describe('trying again', () => {
  it('may help with what is unavailable or exhausted, not with what the caller ended', () => {
    expect(isTransient(clientError('UNREACHABLE', 'gone'))).toBe(true);
    expect(isTransient(errorOfItem(errorItem(brokerError('DISK_FULL'))))).toBe(true);
    expect(isTransient(errorOfItem(errorItem(brokerError('BATCH_TOO_LARGE'))))).toBe(false);
    expect(isTransient(clientError('CLIENT_CLOSED', 'closed'))).toBe(false);
    expect(isTransient(clientError('DELIVERY_TIMEOUT', 'late'))).toBe(false);
  });

  it('waits longer each time, up to the largest delay, and never less than the broker asks for', () => {
    const slowest = new Backoff(() => 0.999_999);
    const delays = Array.from({ length: 10 }, () => slowest.nextMs());
    expect(delays.slice(0, 4)).toEqual([100, 200, 400, 800]);
    expect(Math.max(...delays)).toBe(backoffMs.max);
    expect(new Backoff(() => 0).nextMs()).toBe(backoffMs.min / 2);
    expect(new Backoff(() => 0).nextMs(7_000)).toBe(7_000);
    slowest.reset();
    expect(slowest.nextMs()).toBe(100);
  });
});

function brokerError(reason: ErrorReason): BrokerError {
  return new BrokerError(reason, 'what was wrong', {
    metadata: { limit: 'keyBytesMax' },
    retryAfterMs: 1_250,
  });
}

function expected(error: BrokerError) {
  const { kind, reason, message, metadata, retryAfterMs, effect } = error;
  return { kind, reason, message, metadata, retryAfterMs, effect };
}

function plainStatus(code: status): ServiceError {
  return Object.assign(new Error('14 UNAVAILABLE: gone'), {
    code,
    details: 'gone',
    metadata: new Metadata(),
  });
}
