import { expect, it } from 'vitest';
import { parseAuthConfig } from '../../broker/access/auth-config.ts';
import { reasonOf } from '../support/reason-of.ts';

const corp = {
  name: 'corp',
  issuer: 'https://login.test',
  audiences: ['millrace'],
  keys: { discovery: true },
};
const cluster = {
  issuer: 'https://kubernetes.default.svc',
  keys: { url: 'https://kubernetes.default.svc/openid/v1/jwks' },
};

it('a whole file is read', () => {
  const config = parseAuthConfig(
    JSON.stringify({
      apiTokens: [{ name: 'admin', file: '/etc/millrace/admin' }],
      issuers: [
        corp,
        { ...corp, name: 'shared', issuer: 'x', keys: { secretFile: '/s' }, algorithms: ['HS256'] },
      ],
      kubernetes: { ...cluster, caFile: '/ca.crt', tokenFile: '/token' },
    }),
  );
  expect(config.issuers.map(({ name }) => name)).toEqual(['corp', 'shared', undefined]);
  expect(config.issuers[0]?.algorithms).not.toContain('HS256');
  expect(config.issuers[2]).toMatchObject({ audiences: ['millrace'], caFile: '/ca.crt' });
  expect(parseAuthConfig('{}')).toEqual({ apiTokens: [], issuers: [] });
});

const wrong: readonly (readonly [string, unknown])[] = [
  ['a list', []],
  ['a typo', { isuers: [] }],
  ['a typo in an issuer', { issuers: [{ ...corp, audience: 'x' }] }],
  ['issuers that are no list', { issuers: corp }],
  ['no name', { issuers: [{ ...corp, name: undefined }] }],
  ['a name with a colon', { issuers: [{ ...corp, name: 'a:b' }] }],
  ['no audience', { issuers: [{ ...corp, audiences: [] }] }],
  ['an empty audience', { issuers: [{ ...corp, audiences: [''] }] }],
  ['a name twice', { issuers: [corp, { ...corp, issuer: 'https://b.test' }] }],
  ['an issuer twice', { issuers: [corp, { ...corp, name: 'other' }] }],
  [
    'an issuer twice, as cluster too',
    { issuers: [{ ...corp, issuer: cluster.issuer }], kubernetes: cluster },
  ],
  ['no keys', { issuers: [{ ...corp, keys: {} }] }],
  ['two kinds of keys', { issuers: [{ ...corp, keys: { discovery: true, file: '/x' } }] }],
  ['discovery of false', { issuers: [{ ...corp, keys: { discovery: false } }] }],
  ['keys over http', { issuers: [{ ...corp, keys: { url: 'http://login.test/keys' } }] }],
  ['discovery over http', { issuers: [{ ...corp, issuer: 'http://login.test' }] }],
  ['discovery of an issuer that is no URL', { issuers: [{ ...corp, issuer: 'corp' }] }],
  ['HS256 for public keys', { issuers: [{ ...corp, algorithms: ['RS256', 'HS256'] }] }],
  ['alg none', { issuers: [{ ...corp, algorithms: ['none'] }] }],
  [
    'RS256 for a secret',
    { issuers: [{ ...corp, keys: { secretFile: '/s' }, algorithms: ['RS256'] }] },
  ],
  ['a secret without algorithms', { issuers: [{ ...corp, keys: { secretFile: '/s' } }] }],
  ['a cluster with a secret', { kubernetes: { issuer: 'x', keys: { secretFile: '/s' } } }],
  ['insecure as a text', { issuers: [{ ...corp, allowInsecureHttp: 'yes' }] }],
  ['a token without a file', { apiTokens: [{ name: 'admin' }] }],
  ['a token with its secret', { apiTokens: [{ name: 'admin', file: '/x', secret: 'x' }] }],
  [
    'a token twice',
    {
      apiTokens: [
        { name: 'a', file: '/x' },
        { name: 'a', file: '/y' },
      ],
    },
  ],
  ['a token with a slash', { apiTokens: [{ name: 'a/b', file: '/x' }] }],
  ['a path with a NUL', { apiTokens: [{ name: 'a', file: 'x\0' }] }],
];

it.each(wrong)('a file with %s is refused', (_, config) => {
  expect(reasonOf(() => parseAuthConfig(JSON.stringify(config)))).toBe('SETTING_INVALID');
});

it('a file that is no JSON is refused', () => {
  expect(reasonOf(() => parseAuthConfig('issuers: []'))).toBe('SETTING_INVALID');
});
