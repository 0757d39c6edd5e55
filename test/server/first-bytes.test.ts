// The greeting of a client, cut off at every byte and wrong at every byte.
import { describe, expect, it } from 'vitest';
import { http2Begins, tlsBegins } from '../../broker/server/first-bytes.ts';
import {
  frame,
  frameOfLength,
  frameTypes,
  http2Begin,
  http2Preface,
} from '../support/http2-frames.ts';

const settings = frame(frameTypes.settings, Buffer.from('000300000064', 'hex'));
const hello = Buffer.concat([Buffer.from('1603010040', 'hex'), Buffer.alloc(64, 1)]);

describe.each([
  ['of HTTP/2', http2Begins, Buffer.concat([http2Preface, settings]), http2Preface.length],
  ['of HTTP/2 without a setting', http2Begins, http2Begin, http2Preface.length],
  ['of TLS', tlsBegins, hello, 2],
])('a greeting %s', (_, begins, greeting, told) => {
  it('is one when it is whole, whatever follows, and not a byte sooner', () => {
    for (let length = 0; length < greeting.length; length++) {
      expect(begins(greeting.subarray(0, length))).toBe('more');
    }
    expect(begins(greeting)).toBe('begun');
    expect(begins(Buffer.concat([greeting, Buffer.alloc(100, 0xff)]))).toBe('begun');
  });

  it('is none with the first byte that is wrong', () => {
    for (let at = 0; at < told; at++) {
      const wrong = Buffer.from(greeting.subarray(0, at + 1));
      wrong.writeUInt8(wrong.readUInt8(at) ^ 1, at);
      expect(begins(wrong)).toBe('wrong');
    }
  });
});

describe('a greeting is none', () => {
  it.each([
    [
      'that begins with other frames',
      http2Begins,
      [http2Preface, frame(frameTypes.ping, Buffer.alloc(8))],
    ],
    [
      'with settings of 16 MiB',
      http2Begins,
      [http2Preface, frameOfLength(0xffffff, 4, Buffer.alloc(0))],
    ],
    ['of TLS with a record of 64 KiB', tlsBegins, [Buffer.from('160301ffff', 'hex')]],
    ['of TLS with a record of nothing', tlsBegins, [Buffer.from('1603010000', 'hex')]],
  ])('%s', (_, begins, parts) => {
    expect(begins(Buffer.concat(parts))).toBe('wrong');
  });
});
