import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { checkTlsPair, type TlsBytes } from '../../broker/server/tls-pair.ts';
import { CertificateAuthority } from '../support/certificates.ts';
import { errorOf, reasonOf } from '../support/reason-of.ts';

const ca = new CertificateAuthority('pair');
const { cert, key } = ca.issueServer();
const files = { certificate: 'server.pem', key: 'server.key', clientCa: 'ca.pem' };
const good: TlsBytes = bytes(cert, key, ca.cert);
const now = Date.now();
const dayMs = 24 * 3600 * 1000;

function bytes(certificate: string, ownKey: string, clientCa: string): TlsBytes {
  return {
    certificate: Buffer.from(certificate),
    key: Buffer.from(ownKey),
    clientCa: Buffer.from(clientCa),
  };
}

describe('certificates, their key and the CA of clients', () => {
  it('are good together, and expire with the first of the chain', () => {
    const soon = new Date(Math.floor(now / 1000) * 1000 + dayMs);
    const between = ca.issue({ commonNames: ['between'], isCa: true, notAfter: soon });
    const pair = checkTlsPair(bytes(cert + between.cert, key, ca.cert), files, now);
    expect(pair.expiresMs).toBe(soon.getTime());
    expect(checkTlsPair({ ...good, clientCa: undefined }, files, now)).toMatchObject({
      ...good,
      clientCa: undefined,
    });
  });

  const cases: readonly (readonly [string, TlsBytes, string])[] = [
    ['a certificate that is not there yet', bytes('', key, ca.cert), 'server.pem'],
    ['half a certificate', bytes(cert.slice(0, 200), key, ca.cert), 'server.pem'],
    ['a chain that breaks off', bytes(cert + ca.cert.slice(0, 200), key, ca.cert), 'server.pem'],
    ['a certificate of noise', bytes(cert.replace('MII', 'AAA'), key, ca.cert), 'server.pem'],
    ['half a key', bytes(cert, key.slice(0, 60), ca.cert), 'server.key'],
    ['no key', bytes(cert, '', ca.cert), 'server.key'],
    ['the key of another certificate', bytes(cert, ca.issueServer().key, ca.cert), 'server.key'],
    ['a key with a passphrase', bytes(cert, lockedKey(), ca.cert), 'server.key'],
    ['a CA that breaks off', bytes(cert, key, ca.cert.slice(0, 200)), 'ca.pem'],
    ['a CA that is none', bytes(cert, key, cert), 'ca.pem'],
  ];
  it.each(cases)('with %s are refused, and the file is named', (_, wrong, file) => {
    const error = errorOf(() => checkTlsPair(wrong, files, now));
    expect(error?.reason).toBe('CERTIFICATE_INVALID');
    expect(error?.metadata['file']).toBe(`"${file}"`);
  });

  it('are refused outside their time', () => {
    const at = (nowMs: number): string => reasonOf(() => checkTlsPair(good, files, nowMs));
    expect(at(now)).toBe('nothing');
    expect(at(now + 31 * dayMs)).toBe('CERTIFICATE_INVALID');
    expect(at(now - 2 * dayMs)).toBe('CERTIFICATE_INVALID');
  });

  it('never show a key in what is said about them', () => {
    const secret = key.replaceAll(/-----.*-----|\n/g, '');
    for (let at = 0; at < key.length; at += 20) {
      const text = errorOf(() =>
        checkTlsPair(bytes(cert, key.slice(0, at) + key.slice(at + 7), ca.cert), files, now),
      );
      const said = `${text?.message} ${JSON.stringify(text?.metadata)}`;
      for (let i = 0; i + 8 <= secret.length; i++)
        expect(said).not.toContain(secret.slice(i, i + 8));
    }
  });
});

function lockedKey(): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const locked = { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' } as const;
  return privateKey.export(locked).toString();
}
