// What the broker shows to clients and trusts about them: a certificate chain with its key, and the CA of clients.
// Everything is checked here, before any of it is used.
//
// Invariant: no bytes of a key reach an error or a log.
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { BrokerError } from '../core/errors.ts';
import { quoted } from '../core/quoted.ts';

/** Paths of PEM files. */
export interface TlsFiles {
  /** The broker's certificate, first, and those between it and its CA. */
  readonly certificate: string;
  readonly key: string;
  /** CAs whose clients are trusted. Undefined: no client is asked for a certificate. */
  readonly clientCa: string | undefined;
}

/** The bytes of the files, read at about the same time. */
export interface TlsBytes {
  readonly certificate: Buffer;
  readonly key: Buffer;
  readonly clientCa: Buffer | undefined;
}

export interface TlsPair extends TlsBytes {
  /** When the first of the chain expires, ms since 1970. */
  readonly expiresMs: number;
}

const pemCertificate = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** Throws CERTIFICATE_INVALID: what does not parse or fit, or is out of its time. */
export function checkTlsPair(bytes: TlsBytes, files: TlsFiles, nowMs: number): TlsPair {
  const chain = certificatesOf(bytes.certificate, files.certificate);
  for (const certificate of chain) {
    const { validFromDate, validToDate } = certificate;
    if (nowMs < validFromDate.getTime()) {
      throw invalid(files.certificate, `is not valid before ${validFromDate.toISOString()}`);
    }
    if (nowMs >= validToDate.getTime()) {
      throw invalid(files.certificate, `has expired at ${validToDate.toISOString()}`);
    }
  }
  checkKey(chain[0], bytes.key, files);
  if (bytes.clientCa !== undefined && files.clientCa !== undefined) {
    for (const ca of certificatesOf(bytes.clientCa, files.clientCa)) {
      if (!ca.ca) throw invalid(files.clientCa, `holds ${quoted(ca.subject)}, which is no CA`);
    }
  }
  try {
    // OpenSSL's own opinion: keys that are too short, digests that are too weak.
    createSecureContext({ cert: bytes.certificate, key: bytes.key, ca: bytes.clientCa });
  } catch (cause) {
    throw invalid(files.certificate, `is refused by TLS: ${codeOf(cause)}`);
  }
  return { ...bytes, expiresMs: Math.min(...chain.map((each) => each.validToDate.getTime())) };
}

function checkKey(certificate: X509Certificate | undefined, bytes: Buffer, files: TlsFiles): void {
  let fits: boolean;
  try {
    fits = certificate?.checkPrivateKey(createPrivateKey(bytes)) ?? false;
  } catch (cause) {
    throw invalid(files.key, `is not a private key without a passphrase: ${codeOf(cause)}`);
  }
  if (!fits) throw invalid(files.key, `is not the key of ${quoted(files.certificate)}`);
}

/** At least one. A file that ends within a certificate is refused: it is being written. */
function certificatesOf(bytes: Buffer, file: string): readonly X509Certificate[] {
  const text = bytes.toString('latin1');
  const blocks = text.match(pemCertificate) ?? [];
  const begun = text.split('-----BEGIN ').length - 1;
  if (blocks.length === 0 || begun !== blocks.length) {
    throw invalid(file, 'is not a whole file of PEM certificates');
  }
  try {
    return blocks.map((block) => new X509Certificate(block));
  } catch (cause) {
    throw invalid(file, `has a certificate that cannot be read: ${codeOf(cause)}`);
  }
}

/** OpenSSL's code, never its text, which may quote what it read. */
function codeOf(cause: unknown): string {
  return cause instanceof Error && 'code' in cause ? String(cause.code) : 'unreadable';
}

function invalid(file: string, fault: string): BrokerError {
  return new BrokerError('CERTIFICATE_INVALID', `${quoted(file)} ${fault}`, {
    metadata: { file: quoted(file) },
  });
}
