import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  parseConsumerName,
  parsePublisherName,
  parseSubscriptionName,
  parseTopicName,
} from '../../broker/catalog/names.ts';
import { BrokerError } from '../../broker/core/errors.ts';
import { reasonOf } from '../support/reason-of.ts';

const partOfMaximalLength = 'a'.repeat(128);

describe('topic names', () => {
  it('takes a short name as a topic of public/default', () => {
    expect(parseTopicName('orders')).toEqual({
      tenant: 'public',
      namespace: 'default',
      topic: 'orders',
      full: 'public/default/orders',
    });
  });

  it('keeps the three parts of a full name', () => {
    expect(parseTopicName('acme/eu-1/Orders_v2.1')).toEqual({
      tenant: 'acme',
      namespace: 'eu-1',
      topic: 'Orders_v2.1',
      full: 'acme/eu-1/Orders_v2.1',
    });
  });

  it.each(['a', '0', partOfMaximalLength, `a/b/${partOfMaximalLength}`, 'a..b', 'x-', '9._-'])(
    'admits %j',
    (text) => {
      expect(parseTopicName(text).full.endsWith(text)).toBe(true);
    },
  );

  it.each([
    '',
    '/',
    'a/b',
    'a/b/c/d',
    'a//c',
    '/a/b',
    'a/b/',
    '..',
    '../../etc',
    'a/../b',
    '.hidden',
    '-x',
    '_x',
    '~dead',
    'a b',
    'a\n',
    'a\0',
    'caf\u00e9',
    '\u0430bc',
    `${partOfMaximalLength}a`,
    `a/b/${partOfMaximalLength}a`,
    'a'.repeat(1_000_000),
  ])('refuses %j', (text) => {
    expect(reasonOf(() => parseTopicName(text))).toBe('NAME_INVALID');
  });

  it('admits only names that mean the same when parsed again', () => {
    fc.assert(
      fc.property(
        fc.string({
          maxLength: 12,
          unit: fc.constantFrom('a', 'Z', '9', '.', '_', '-', '/', '~', ' ', '\n'),
        }),
        (text) => {
          let name;
          try {
            name = parseTopicName(text);
          } catch (thrown) {
            expect(thrown).toBeInstanceOf(BrokerError);
            return;
          }
          expect(parseTopicName(name.full)).toEqual(name);
          expect(name.full.split('/')).toEqual([name.tenant, name.namespace, name.topic]);
          expect(name.full.split('/').some((part) => part.startsWith('.'))).toBe(false);
        },
      ),
    );
  });
});

describe('other names', () => {
  it('keeps a publisher from posing as one of the broker', () => {
    expect(reasonOf(() => parsePublisherName('~dead/1/2'))).toBe('NAME_INVALID');
    expect(parsePublisherName('dead ~/1')).toBe('dead ~/1');
    expect(parseConsumerName('~any printable')).toBe('~any printable');
  });

  it.each([parseSubscriptionName, parsePublisherName, parseConsumerName])(
    'refuses empty, long and unprintable ones in %o',
    (parse) => {
      for (const text of ['', 'a'.repeat(129), 'a\x7f', 'a\u00e9', '\x1b[2J']) {
        expect(reasonOf(() => parse(text))).toBe('NAME_INVALID');
      }
      expect(parse('a'.repeat(128))).toBe('a'.repeat(128));
    },
  );

  it('refuses a subscription name with a slash', () => {
    expect(reasonOf(() => parseSubscriptionName('a/b'))).toBe('NAME_INVALID');
  });
});

it('repeats a wrong name escaped and cut, so that it cannot forge a log line', () => {
  const hostile = `x\n{"level":"error"}\u202e${'y'.repeat(500)}`;
  let message = '';
  try {
    parseTopicName(hostile);
  } catch (thrown) {
    message = (thrown as BrokerError).message;
  }
  expect(message).toMatch(/^[\x20-\x7e]+$/);
  expect(message.length).toBeLessThan(400);
  expect(message).toContain('\\n');
});
