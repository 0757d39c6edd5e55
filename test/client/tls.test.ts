import { describe, expect, it } from 'vitest';
import { connect, MillraceError, type ConnectOptions } from '../../client/src/index.ts';
import { hostOf, isLoopback } from '../../client/src/tls.ts';

async function reasonOf(options: ConnectOptions): Promise<string> {
  try {
    await connect(options).close();
    return '';
  } catch (error) {
    return error instanceof MillraceError ? error.reason : String(error);
  }
}

describe('a token', () => {
  const token = 'secret';
  it('goes to another machine over TLS only, unless that is said to be meant', async () => {
    for (const server of [
      'broker:6700',
      '10.0.0.1:6700',
      '[fd00::1]:6700',
      '127.0.0.1.example:1',
    ]) {
      expect(await reasonOf({ server, token })).toBe('ARGUMENT_INVALID');
      expect(await reasonOf({ server, token, tls: false })).toBe('ARGUMENT_INVALID');
      expect(await reasonOf({ server, token, tls: true })).toBe('');
      expect(await reasonOf({ server, token, tokenWithoutTls: true })).toBe('');
      expect(await reasonOf({ server })).toBe('');
    }
    for (const server of ['127.0.0.1:6700', 'localhost:6700', '[::1]:6700']) {
      expect(await reasonOf({ server, token })).toBe('');
    }
  });
});

describe('a certificate', () => {
  it('goes with its key', async () => {
    expect(await reasonOf({ tls: { certificate: 'c.pem' } })).toBe('ARGUMENT_INVALID');
    expect(await reasonOf({ tls: { key: 'k.pem' } })).toBe('ARGUMENT_INVALID');
  });
});

it.each([
  ['broker.example:6700', 'broker.example'],
  ['127.0.0.1:6700', '127.0.0.1'],
  ['[::1]:6700', '::1'],
  ['broker', 'broker'],
])('the host of %s is %s', (server, host) => {
  expect(hostOf(server)).toBe(host);
});

it.each([
  ['127.9.9.9:1', true],
  ['LOCALHOST:1', true],
  ['127.evil.example:1', false],
  ['localhost.example:1', false],
  ['0.0.0.0:1', false],
])('%s is on this machine: %s', (server, expected) => {
  expect(isLoopback(server)).toBe(expected);
});
