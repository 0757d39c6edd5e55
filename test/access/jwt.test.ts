// What must never be taken for a good token, each case by its name; and what must be.
import { createHmac, createPublicKey } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { IssuerKeys } from '../../broker/access/issuer-keys.ts';
import { authenticate } from '../../broker/access/authenticate.ts';
import { JwtAuthenticator, type TokenIssuer } from '../../broker/access/jwt.ts';
import { principalOfServiceAccount } from '../../broker/access/service-accounts.ts';
import { jwtPrincipal } from '../../broker/catalog/principal.ts';
import { systemClock } from '../../broker/core/clock.ts';
import { seededRandom } from '../../broker/core/random.ts';
import { rejectionOf } from '../support/reason-of.ts';
import {
  audience,
  base64url,
  goodClaims,
  issuerUrl,
  keySet,
  makeSigner,
  sign,
  type Signer,
} from './signers.ts';

const nowMs = 1_790_000_000_000;
const now = nowMs / 1000;
const asymmetric = ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA'];
const sharedSecret = 'a secret of more than thirty-two bytes';

let rsa: Signer;
let ec: Signer;
let ed: Signer;
let stranger: Signer;
let jwt: JwtAuthenticator;

beforeAll(async () => {
  rsa = await makeSigner('RS256', 'rsa');
  ec = await makeSigner('ES256', 'ec');
  ed = await makeSigner('EdDSA', 'ed');
  stranger = await makeSigner('RS256', 'rsa');
  const keys = new IssuerKeys({ what: 'test', load: async () => keySet(rsa, ec, ed) }, systemClock);
  const issuer = (more: Partial<TokenIssuer>): TokenIssuer => ({
    issuer: issuerUrl,
    audiences: [audience],
    algorithms: asymmetric,
    key: keys.find,
    principalOf: ({ sub }) => jwtPrincipal('corp', String(sub)),
    ...more,
  });
  jwt = new JwtAuthenticator(
    [
      issuer({}),
      issuer({ issuer: 'https://cluster.test', principalOf: principalOfServiceAccount }),
      issuer({
        issuer: 'https://shared.test',
        algorithms: ['HS256'],
        key: Buffer.from(sharedSecret),
      }),
    ],
    systemClock,
  );
});

const claims = (more: Readonly<Record<string, unknown>> = {}) => ({
  ...goodClaims('alice', nowMs),
  ...more,
});
const without = (name: string) => {
  const { [name]: _, ...rest } = claims() as Record<string, unknown>;
  return rest;
};

/** Through the chain, as a call comes. */
async function identify(bearer: string) {
  return authenticate([jwt], { bearer, certificate: undefined }, nowMs);
}

function hmac(secret: string | Buffer, head: object, body: object): string {
  const input = `${base64url(head)}.${base64url(body)}`;
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
}

function tampered(token: string, part: 0 | 1 | 2, change: (text: string) => string): string {
  const parts = token.split('.');
  parts[part] = change(parts[part] ?? '');
  return parts.join('.');
}

const pem = (signer: Signer): string =>
  createPublicKey({ key: signer.jwk, format: 'jwk' })
    .export({ type: 'spki', format: 'pem' })
    .toString();

const unsigned = (alg: unknown, body: object = claims()): string =>
  `${base64url({ alg, typ: 'JWT', kid: 'rsa' })}.${base64url(body)}.`;

type Case = readonly [string, () => string | Promise<string>];

const wrong: readonly Case[] = [
  ['alg none', () => unsigned('none')],
  ['alg None', () => unsigned('None')],
  ['alg NONE', () => unsigned('NONE')],
  ['alg nOnE', () => unsigned('nOnE')],
  ['alg empty', () => unsigned('')],
  ['alg null', () => unsigned(null)],
  ['alg a list', () => unsigned(['RS256'])],
  ['no alg', () => `${base64url({ typ: 'JWT' })}.${base64url(claims())}.AA`],
  [
    'alg none with a signature',
    async () => unsigned('none') + (await sign(rsa, claims())).split('.')[2],
  ],
  ['the signature left out', async () => tampered(await sign(rsa, claims()), 2, () => '')],
  ['HS256 with the RSA key as PEM', () => hmac(pem(rsa), { alg: 'HS256', kid: 'rsa' }, claims())],
  [
    'HS256 with the RSA key as PEM, trimmed',
    () => hmac(pem(rsa).trim(), { alg: 'HS256', kid: 'rsa' }, claims()),
  ],
  [
    'HS256 with the modulus',
    () => hmac(Buffer.from(String(rsa.jwk.n), 'base64url'), { alg: 'HS256', kid: 'rsa' }, claims()),
  ],
  [
    'HS256 with the JWK as text',
    () => hmac(JSON.stringify(rsa.jwk), { alg: 'HS256', kid: 'rsa' }, claims()),
  ],
  ['HS256 with an empty key', () => hmac('', { alg: 'HS256' }, claims())],
  [
    'HS256 with the shared secret of another issuer',
    () => hmac(sharedSecret, { alg: 'HS256' }, claims()),
  ],
  [
    'the shared issuer with an algorithm not listed',
    () => hmac(sharedSecret, { alg: 'HS512' }, claims({ iss: 'https://shared.test' })),
  ],
  [
    'the shared issuer with another secret',
    () => hmac('another', { alg: 'HS256' }, claims({ iss: 'https://shared.test' })),
  ],
  [
    'the shared issuer with an RSA signature',
    () => sign(rsa, claims({ iss: 'https://shared.test' })),
  ],
  [
    'ES256 header over an RSA signature',
    async () =>
      tampered(await sign(rsa, claims()), 0, () => base64url({ alg: 'ES256', kid: 'ec' })),
  ],
  ['RS256 header with the EC key id', () => sign(rsa, claims(), { kid: 'ec' })],
  ['a key of somebody else under a known key id', () => sign(stranger, claims())],
  ['a key id that there is not', () => sign(rsa, claims(), { kid: 'nobody' })],
  ['a key id that is a path', () => sign(rsa, claims(), { kid: '../../../../dev/null' })],
  ['a key id that is SQL', () => sign(rsa, claims(), { kid: "' OR 1=1 --" })],
  ['a key id of a megabyte', () => sign(rsa, claims(), { kid: 'k'.repeat(1_000_000) })],
  ['its own key in the header', () => sign(stranger, claims(), { kid: 'x', jwk: stranger.jwk })],
  [
    'its own keys by URL',
    () => sign(stranger, claims(), { kid: 'x', jku: 'http://127.0.0.1:1/keys' }),
  ],
  [
    'a certificate by URL',
    () => sign(stranger, claims(), { kid: 'x', x5u: 'http://127.0.0.1:1/cert' }),
  ],
  [
    'a critical extension',
    () =>
      `${base64url({ alg: 'RS256', kid: 'rsa', crit: ['exp'], exp: 1 })}.${base64url(claims())}.AA`,
  ],
  [
    'critical that is empty',
    () => `${base64url({ alg: 'RS256', kid: 'rsa', crit: [] })}.${base64url(claims())}.AA`,
  ],
  [
    'an unencoded payload',
    () =>
      `${base64url({ alg: 'RS256', kid: 'rsa', crit: ['b64'], b64: false })}.${base64url(claims())}.AA`,
  ],
  [
    'a payload changed',
    async () => tampered(await sign(rsa, claims()), 1, () => base64url(claims({ sub: 'root' }))),
  ],
  [
    'a signature changed',
    async () =>
      tampered(
        await sign(rsa, claims()),
        2,
        (text) => `${text.startsWith('A') ? 'B' : 'A'}${text.slice(1)}`,
      ),
  ],
  [
    'a signature of another token',
    async () => tampered(await sign(rsa, claims()), 2, () => 'AAAA'),
  ],
  [
    'a header that is no JSON',
    async () => tampered(await sign(rsa, claims()), 0, () => base64url('{')),
  ],
  [
    'a header that is a list',
    async () => tampered(await sign(rsa, claims()), 0, () => base64url([])),
  ],
  ['a payload that is no JSON', () => `${base64url({ alg: 'RS256' })}.${base64url('x')}.AA`],
  ['a payload that is null', () => `${base64url({ alg: 'RS256' })}.${base64url('null')}.AA`],
  [
    'a payload nested five thousand deep',
    () => `${base64url({ alg: 'RS256', kid: 'rsa' })}.${base64url(`${'['.repeat(5_000)}`)}.AA`,
  ],
  [
    'a payload that sets __proto__',
    () =>
      `${base64url({ alg: 'RS256', kid: 'rsa' })}.${base64url('{"__proto__":{"iss":"https://login.example.test"}}')}.AA`,
  ],
  ['two parts', () => `${base64url({ alg: 'RS256' })}.${base64url(claims())}`],
  ['four parts', async () => `${await sign(rsa, claims())}.AA`],
  ['five parts, as if encrypted', () => 'eyJhbGciOiJkaXIifQ....'],
  ['empty parts', () => '..'],
  ['padding', async () => `${await sign(rsa, claims())}=`],
  ['a NUL', async () => `${await sign(rsa, claims())}\0`],
  ['17 KiB', () => `${'a'.repeat(17 * 1024)}.a.a`],
  ['another issuer', () => sign(rsa, claims({ iss: 'https://evil.test' }))],
  ['an issuer with a slash more', () => sign(rsa, claims({ iss: `${issuerUrl}/` }))],
  ['an issuer in capitals', () => sign(rsa, claims({ iss: issuerUrl.toUpperCase() }))],
  ['issuers in a list', () => sign(rsa, claims({ iss: [issuerUrl] }))],
  ['no issuer', () => sign(rsa, without('iss'))],
  ['another audience', () => sign(rsa, claims({ aud: 'millrace-other' }))],
  ['an audience in capitals', () => sign(rsa, claims({ aud: 'MILLRACE' }))],
  ['no audience', () => sign(rsa, without('aud'))],
  ['an empty audience', () => sign(rsa, claims({ aud: '' }))],
  ['no audience in the list', () => sign(rsa, claims({ aud: [] }))],
  ['others in the list of audiences', () => sign(rsa, claims({ aud: ['a', 'b'] }))],
  ['an audience that is an object', () => sign(rsa, claims({ aud: { millrace: true } }))],
  ['a nested audience', () => sign(rsa, claims({ aud: [[audience]] }))],
  ['no expiry', () => sign(rsa, without('exp'))],
  ['an expiry that is a text', () => sign(rsa, claims({ exp: String(now + 60) }))],
  ['an expiry that is null', () => sign(rsa, claims({ exp: null }))],
  ['an expiry of an hour ago', () => sign(rsa, claims({ exp: now - 3600 }))],
  ['an expiry at the end of the tolerance', () => sign(rsa, claims({ exp: now - 30 }))],
  ['an expiry below zero', () => sign(rsa, claims({ exp: -1 }))],
  ['not before a minute from now', () => sign(rsa, claims({ nbf: now + 60 }))],
  ['not before, as a text', () => sign(rsa, claims({ nbf: 'now' }))],
  ['no subject', () => sign(rsa, without('sub'))],
  ['an empty subject', () => sign(rsa, claims({ sub: '' }))],
  ['a subject of 2 KiB', () => sign(rsa, claims({ sub: 's'.repeat(2_048) }))],
  [
    'a service account that is none',
    () => sign(rsa, claims({ iss: 'https://cluster.test', sub: 'alice' })),
  ],
  [
    'a service account with a part more',
    () => sign(rsa, claims({ iss: 'https://cluster.test', sub: 'system:serviceaccount:a:b:c' })),
  ],
  [
    'a service account with other claims',
    () =>
      sign(
        rsa,
        claims({
          iss: 'https://cluster.test',
          sub: 'system:serviceaccount:a:b',
          'kubernetes.io': { namespace: 'x', serviceaccount: { name: 'b' } },
        }),
      ),
  ],
  [
    'a service account whose claims are a text',
    () =>
      sign(
        rsa,
        claims({
          iss: 'https://cluster.test',
          sub: 'system:serviceaccount:a:b',
          'kubernetes.io': 'x',
        }),
      ),
  ],
];

describe('a token is refused with', () => {
  it('at least sixty cases', () => {
    expect(wrong.length).toBeGreaterThanOrEqual(60);
    expect(new Set(wrong.map(([name]) => name)).size).toBe(wrong.length);
  });

  it.each(wrong)('%s', async (_, make) => {
    const token = await make();
    const error = await rejectionOf(identify(token));
    expect(error?.reason).toBe('UNAUTHENTICATED');
    // Nothing of a credential gets into a message.
    for (const part of token.split('.').filter((text) => text.length > 8)) {
      expect(error?.message).not.toContain(part.slice(0, 64));
    }
    expect(JSON.stringify(error?.metadata)).toBe('{}');
  });

  it('any change of any character', async () => {
    const random = seededRandom(Number(process.env['SEED'] ?? 7));
    const good = await sign(ec, claims());
    const runs = Number(process.env['JWT_MUTATIONS'] ?? 2_000);
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.';
    for (let i = 0; i < runs; i++) {
      const at = Math.floor(random.next() * good.length);
      const with_ = alphabet[Math.floor(random.next() * alphabet.length)] ?? 'A';
      const token = good.slice(0, at) + with_ + good.slice(at + (random.next() < 0.5 ? 1 : 0));
      // The last character of a signature has bits that do not count.
      if (
        Buffer.from(token.split('.')[2] ?? '', 'base64url').equals(
          Buffer.from(good.split('.')[2] ?? '', 'base64url'),
        )
      ) {
        if (token.split('.').slice(0, 2).join('.') === good.split('.').slice(0, 2).join('.'))
          continue;
      }
      const error = await rejectionOf(identify(token));
      expect([token, error?.reason]).toEqual([token, 'UNAUTHENTICATED']);
    }
  }, 120_000);
});

describe('a token is taken', () => {
  const good: readonly (readonly [string, () => Promise<string>, string])[] = [
    ['signed by RSA', () => sign(rsa, claims()), 'jwt:corp:alice'],
    ['signed by EC', () => sign(ec, claims()), 'jwt:corp:alice'],
    ['signed by Ed25519', () => sign(ed, claims()), 'jwt:corp:alice'],
    ['for several audiences', () => sign(rsa, claims({ aud: ['a', audience] })), 'jwt:corp:alice'],
    [
      'that expired within the tolerance',
      () => sign(rsa, claims({ exp: now - 29 })),
      'jwt:corp:alice',
    ],
    [
      'that begins within the tolerance',
      () => sign(rsa, claims({ nbf: now + 29 })),
      'jwt:corp:alice',
    ],
    [
      'with a subject that needs escapes',
      () => sign(rsa, claims({ sub: 'a b:é%' })),
      'jwt:corp:a%20b:%C3%A9%25',
    ],
    [
      'of a service account',
      () =>
        sign(
          rsa,
          claims({
            iss: 'https://cluster.test',
            sub: 'system:serviceaccount:shop:billing',
            'kubernetes.io': { namespace: 'shop', serviceaccount: { name: 'billing' } },
          }),
        ),
      'serviceaccount:shop:billing',
    ],
    [
      'with a shared secret',
      async () => hmac(sharedSecret, { alg: 'HS256' }, claims({ iss: 'https://shared.test' })),
      'jwt:corp:alice',
    ],
  ];

  it.each(good)('%s', async (_, make, principal) => {
    const token = await make();
    expect((await identify(token)).principal).toBe(principal);
    // From memory this time.
    expect((await identify(token)).principal).toBe(principal);
  });

  it('until its expiry, and in the tolerance after it to the end of that', async () => {
    const expiring = await identify(await sign(rsa, claims({ exp: now + 5 })));
    expect(expiring.expiresAtMs).toBe(nowMs + 5_000);
    const late = await identify(await sign(rsa, claims({ exp: now - 5 })));
    expect(late.expiresAtMs).toBe(nowMs + 25_000);
  });
});

afterAll(() => {
  expect(Object.prototype).not.toHaveProperty('iss');
});
