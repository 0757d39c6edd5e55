// The TLS side of the gRPC listener: certificates that can be exchanged while it listens.
//
//   files change ──▶ read ──▶ checked as a whole ──good──▶ new connections get them
//                                     └──bad──▶ the old ones stay; log and metric say so
//
// Invariants:
// - What new connections get has passed `checkTlsPair` as one set: grpc-js's own providers swap each file by itself,
//   and refuse every connection while the files do not fit.
// - Connections that are open keep what they began with.
// - TLS 1.2 at least, and no way back into an old session: a client's certificate is verified at every connection.
import { constants } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { SecureContextOptions } from 'node:tls';
import { ServerCredentials } from '@grpc/grpc-js';
import type { Clock, Timer } from '../core/clock.ts';
import { BrokerError, toBrokerError } from '../core/errors.ts';
import { limits } from '../core/limits.ts';
import type { Log } from '../core/log.ts';
import type { Metrics } from '../core/metrics.ts';
import { quoted } from '../core/quoted.ts';
import { checkTlsPair, type TlsBytes, type TlsFiles, type TlsPair } from './tls-pair.ts';

/** Whether clients show a certificate. One that is shown must be good in each case. */
export type ClientCertificates = 'required' | 'optional' | 'none';

export interface TlsOptions {
  readonly files: TlsFiles;
  readonly clientCertificates: ClientCertificates;
  /** How often the files are looked at. */
  readonly reloadIntervalMs: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
}

export class TlsCredentials extends ServerCredentials {
  private readonly options: TlsOptions;
  private pair: TlsPair;
  /** Why the files cannot be used; empty when they can. */
  private failure = '';
  private timer: Timer | undefined;

  private constructor(options: TlsOptions, pair: TlsPair) {
    const { clientCertificates } = options;
    const asks = pair.clientCa !== undefined && clientCertificates !== 'none';
    super(
      {
        requestCert: asks,
        rejectUnauthorized: asks && clientCertificates === 'required',
        handshakeTimeout: limits.tlsHandshakeMs,
      },
      contextOf(pair),
    );
    this.options = options;
    this.pair = pair;
    const { metrics, clock } = options;
    metrics.gauge(
      'millrace_tls_certificate_expiry_seconds',
      'Time until the certificate in use expires; below 0: it has.',
      () => (this.pair.expiresMs - clock.wallMs()) / 1000,
    );
    metrics.gauge(
      'millrace_tls_reload_failing',
      '1 while the certificate files cannot be used and the old ones are kept.',
      () => (this.failure === '' ? 0 : 1),
    );
  }

  /** Throws CERTIFICATE_INVALID: a broker does not start with certificates that it could not use. */
  static async open(options: TlsOptions): Promise<TlsCredentials> {
    const { files, clock } = options;
    const pair = checkTlsPair(await readAll(files), files, clock.wallMs());
    const credentials = new TlsCredentials(options, pair);
    credentials.watch();
    return credentials;
  }

  /** Reads the files, and takes what they hold when all of it is good. */
  async reload(): Promise<void> {
    const { files, clock, log } = this.options;
    try {
      const bytes = await readAll(files);
      if (!isSame(bytes, this.pair)) {
        const pair = checkTlsPair(bytes, files, clock.wallMs());
        this.updateSecureContextOptions(contextOf(pair));
        this.pair = pair;
        log.info('took new certificates', { expires: new Date(pair.expiresMs).toISOString() });
      }
      this.failure = '';
    } catch (error) {
      const { message, reason } = toBrokerError(error);
      // Said once, not at every look.
      if (message !== this.failure) {
        log.error('kept the old certificates', { cause: message, reason });
      }
      this.failure = message;
    }
  }

  close(): void {
    this.timer?.cancel();
    this.timer = undefined;
  }

  override _equals(other: ServerCredentials): boolean {
    return this === other;
  }

  private watch(): void {
    const { clock, reloadIntervalMs } = this.options;
    this.timer = clock.after(reloadIntervalMs, () => {
      void this.reload().then(() => {
        if (this.timer !== undefined) this.watch();
      });
    });
  }
}

/** Everything of a context: what is left out here would fall back to Node's defaults at the first exchange. */
function contextOf({ certificate, key, clientCa }: TlsBytes): SecureContextOptions {
  return {
    cert: certificate,
    key,
    ...(clientCa !== undefined && { ca: clientCa }),
    minVersion: 'TLSv1.2',
    // Of TLS 1.2, what HTTP/2 allows (RFC 9113, 9.2.2).
    ciphers:
      'TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:' +
      'ECDHE+AESGCM:ECDHE+CHACHA20',
    secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
  };
}

async function readAll({ certificate, key, clientCa }: TlsFiles): Promise<TlsBytes> {
  return {
    certificate: await read(certificate),
    key: await read(key),
    clientCa: clientCa === undefined ? undefined : await read(clientCa),
  };
}

async function read(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unreadable';
    throw new BrokerError('CERTIFICATE_INVALID', `${quoted(path)} cannot be read: ${code}`, {
      metadata: { file: quoted(path) },
      cause,
    });
  }
}

function isSame(one: TlsBytes, other: TlsBytes): boolean {
  const { clientCa } = one;
  return (
    one.certificate.equals(other.certificate) &&
    one.key.equals(other.key) &&
    (clientCa === undefined || other.clientCa === undefined
      ? clientCa === other.clientCa
      : clientCa.equals(other.clientCa))
  );
}
