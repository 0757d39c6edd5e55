// Where the keys come from: an issuer that is away, slow, too large, elsewhere, or has other keys than before.
import { createServer, type Server, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest';
import { IssuerKeys, type KeySource } from '../../broker/access/issuer-keys.ts';
import {
  keysAtUrl,
  keysByDiscovery,
  keysInFile,
  urlFault,
} from '../../broker/access/issuer-urls.ts';
import { systemClock } from '../../broker/core/clock.ts';
import { limits } from '../../broker/core/limits.ts';
import type { Certificate } from '../support/certificates.ts';
import { rejectionOf } from '../support/reason-of.ts';
import { TlsDirectory } from '../support/tls-directory.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { wrongCertificates } from '../support/wrong-certificates.ts';
import { keySet, makeSigner } from './signers.ts';

const a = await makeSigner('ES256', 'a');
const b = await makeSigner('ES256', 'b');
const noToken = {} as never;

/** An issuer that the test controls; `loads` counts how often it was asked. */
class FakeIssuer implements KeySource {
  readonly what = 'test';
  loads = 0;
  text = keySet(a);
  fails = false;

  async load(): Promise<string> {
    this.loads++;
    if (this.fails) throw new Error('away');
    return this.text;
  }
}

describe('keys', () => {
  let issuer: FakeIssuer;
  let clock: VirtualClock;
  let keys: IssuerKeys;
  const find = async (kid: string): Promise<string> =>
    (await rejectionOf(keys.find({ alg: 'ES256', kid }, noToken)))?.reason ?? 'found';

  beforeEach(() => {
    issuer = new FakeIssuer();
    clock = new VirtualClock();
    keys = new IssuerKeys(issuer, clock);
  });

  it('are fetched once for many tokens', async () => {
    expect(await Promise.all(Array.from({ length: 100 }, () => find('a')))).toEqual(
      Array(100).fill('found'),
    );
    expect(issuer.loads).toBe(1);
  });

  it('that are rotated are noticed by their id, at once', async () => {
    expect(await find('a')).toBe('found');
    issuer.text = keySet(b);
    clock.advance(limits.issuerKeysRetryMs);
    expect(await find('b')).toBe('found');
    expect(await find('a')).toBe('UNAUTHENTICATED');
  });

  it('that are withdrawn do not outlive a minute', async () => {
    expect(await find('a')).toBe('found');
    issuer.text = keySet(b);
    clock.advance(limits.issuerKeysFreshMs);
    expect(await find('a')).toBe('UNAUTHENTICATED');
  });

  it('with invented ids are no flood at the issuer', async () => {
    for (let i = 0; i < 1_000; i++) expect(await find(`x${i}`)).toBe('UNAUTHENTICATED');
    expect(issuer.loads).toBe(1);
    clock.advance(limits.issuerKeysRetryMs);
    for (let i = 0; i < 1_000; i++) expect(await find(`x${i}`)).toBe('UNAUTHENTICATED');
    expect(issuer.loads).toBe(2);
  });

  it('are kept for a day while the issuer is away, and ids that were never seen are asked for again', async () => {
    expect(await find('a')).toBe('found');
    issuer.fails = true;
    clock.advance(limits.issuerKeysFreshMs);
    expect(await find('a')).toBe('found');
    expect(await find('b')).toBe('ISSUER_UNAVAILABLE');
    clock.advance(limits.issuerKeysKeptMs - limits.issuerKeysFreshMs - 1);
    expect(await find('a')).toBe('found');
    clock.advance(1);
    expect(await find('a')).toBe('ISSUER_UNAVAILABLE');
    issuer.fails = false;
    clock.advance(limits.issuerKeysRetryMs);
    expect(await find('a')).toBe('found');
  });

  it('are ISSUER_UNAVAILABLE while there were none yet', async () => {
    issuer.fails = true;
    expect(await find('a')).toBe('ISSUER_UNAVAILABLE');
    expect(await find('a')).toBe('ISSUER_UNAVAILABLE');
    expect(issuer.loads).toBe(1);
  });

  it.each([
    ['no JSON', '<html>'],
    ['no set', '{}'],
    ['a list', '[]'],
    ['no keys', '{"keys":[]}'],
    ['a secret', '{"keys":[{"kty":"oct","k":"c2VjcmV0","kid":"a","alg":"HS256"}]}'],
    ['a private key', JSON.stringify({ keys: [{ ...a.jwk, d: 'AAAA' }] })],
    ['keys to encrypt with', JSON.stringify({ keys: [{ ...a.jwk, use: 'enc' }] })],
    ['too many keys', JSON.stringify({ keys: Array(300).fill(a.jwk) })],
  ])('of %s are none', async (_, text) => {
    issuer.text = text;
    expect(await find('a')).toBe('ISSUER_UNAVAILABLE');
  });

  it('in a file that is not there are ISSUER_UNAVAILABLE', async () => {
    keys = new IssuerKeys(keysInFile('/nowhere/keys.json'), clock);
    expect((await rejectionOf(keys.preload()))?.reason).toBe('ISSUER_UNAVAILABLE');
  });
});

describe('an issuer over HTTP', () => {
  let server: Server;
  let url: string;
  let answers: Record<string, (response: ServerResponse) => void>;
  let asked: string[];
  const here = { allowInsecureHttp: false, caFile: undefined, tokenFile: undefined };

  beforeEach(async () => {
    asked = [];
    answers = {};
    server = createServer((request, response) => {
      asked.push(request.url ?? '');
      const answer = answers[request.url ?? ''];
      if (answer === undefined) response.writeHead(404).end();
      else answer(response);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });

  afterEach(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  const load = (path = '/keys') => keysAtUrl(`${url}${path}`, here, systemClock).load();
  const discover = () => keysByDiscovery(url, here, systemClock).load();
  const document = (fields: object) => (response: ServerResponse) =>
    void response.end(JSON.stringify(fields));
  const discovery = '/.well-known/openid-configuration';

  it('is read', async () => {
    answers['/keys'] = (response) => void response.end(keySet(a));
    expect(await load()).toBe(keySet(a));
  });

  it('is read where its discovery document says', async () => {
    answers[discovery] = document({ issuer: url, jwks_uri: `${url}/keys` });
    answers['/keys'] = (response) => void response.end(keySet(a));
    expect(await discover()).toBe(keySet(a));
  });

  it('is not followed when it redirects', async () => {
    answers['/keys'] = (response) =>
      void response.writeHead(302, { location: `${url}/elsewhere` }).end();
    answers['/elsewhere'] = (response) => void response.end(keySet(a));
    expect((await rejectionOf(load()))?.reason).toBe('ISSUER_UNAVAILABLE');
    expect(asked).toEqual(['/keys']);
  });

  it.each([404, 500, 204, 206])('with status %s has no keys', async (status) => {
    answers['/keys'] = (response) =>
      void response.writeHead(status).end(status === 204 ? undefined : keySet(a));
    expect((await rejectionOf(load()))?.reason).toBe('ISSUER_UNAVAILABLE');
  });

  it('is cut off when it sends too much', async () => {
    let sent = 0;
    answers['/keys'] = (response) => {
      const more = (): void => {
        if (response.destroyed || sent > 64 * 1024 * 1024) return;
        sent += 65_536;
        response.write(Buffer.alloc(65_536, 0x20), more);
      };
      more();
    };
    expect((await rejectionOf(load()))?.reason).toBe('ISSUER_UNAVAILABLE');
    expect(sent).toBeLessThan(32 * 1024 * 1024);
  });

  it.each([
    ['says nothing', () => undefined],
    ['says a byte and no more', (response: ServerResponse) => void response.write('{')],
  ])('is given up after three seconds when it %s', async (_, answer) => {
    answers['/keys'] = answer;
    const beganMs = Date.now();
    expect((await rejectionOf(load()))?.reason).toBe('ISSUER_UNAVAILABLE');
    expect(Date.now() - beganMs).toBeLessThan(limits.issuerAnswerMs + 2_000);
  });

  it('is not believed when its document is of another issuer, or names keys elsewhere in a wrong way', async () => {
    for (const fields of [
      { issuer: `${url}/`, jwks_uri: `${url}/keys` },
      { issuer: 'https://evil.test', jwks_uri: `${url}/keys` },
      { issuer: url },
      { issuer: url, jwks_uri: 'file:///etc/passwd' },
      { issuer: url, jwks_uri: 'http://192.0.2.1/keys' },
      { issuer: url, jwks_uri: 'http://user:pass@127.0.0.1/keys' },
      [],
    ]) {
      answers[discovery] = document(fields);
      expect((await rejectionOf(discover()))?.reason).toBe('ISSUER_UNAVAILABLE');
    }
    expect(new Set(asked)).toEqual(new Set([discovery]));
  });

  it('that does not listen is ISSUER_UNAVAILABLE', async () => {
    await new Promise((resolve) => server.close(resolve));
    expect((await rejectionOf(load()))?.reason).toBe('ISSUER_UNAVAILABLE');
  });
});

describe('an issuer over https', () => {
  const files = new TlsDirectory();
  afterAll(() => files[Symbol.dispose]());

  /** The keys that an issuer gives who shows the certificate, or why it has none. */
  async function keysFrom(certificate: Certificate): Promise<string> {
    const server = createSecureServer(certificate, (_, response) => void response.end('the keys'));
    server.on('tlsClientError', () => {});
    await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve));
    const url = `https://localhost:${(server.address() as AddressInfo).port}/keys`;
    const address = {
      allowInsecureHttp: false,
      caFile: files.file('ca.pem'),
      tokenFile: undefined,
    };
    const told = await keysAtUrl(url, address, systemClock)
      .load()
      .catch((error: unknown) => String(error));
    server.closeAllConnections();
    server.close();
    return told;
  }

  it.each(wrongCertificates)('with a certificate $what has no keys', async (wrong) => {
    expect(await keysFrom(wrong.certificate(files))).toMatch(wrong.requestSays);
  });

  it('with its own certificate has them', async () => {
    expect(await keysFrom(files.ca.issueServer())).toBe('the keys');
  });
});

it.each([
  ['https://a.test/keys', false, true],
  ['http://127.0.0.1:8080/keys', false, true],
  ['http://[::1]/keys', false, true],
  ['http://localhost/keys', false, true],
  ['http://a.test/keys', true, true],
  ['http://a.test/keys', false, false],
  ['http://127.0.0.1.a.test/keys', false, false],
  ['http://10.0.0.1/keys', false, false],
  ['http://0.0.0.0/keys', false, false],
  ['file:///etc/passwd', true, false],
  ['ftp://a.test', true, false],
  ['data:application/json,{}', true, false],
  ['https://user:pass@a.test/', true, false],
  ['https://a.test/?next=b', true, false],
  ['keys.json', true, false],
])('%s (insecure allowed: %s) is fine: %s', (text, insecure, fine) => {
  expect(urlFault(text, insecure) === undefined).toBe(fine);
});
