// TLS to the broker: whom the client trusts, and how it shows who it is.
//
// Invariants:
// - Nothing is sent before the broker has shown a certificate of a trusted CA for the very host that was asked for. A
//   common name does not count as a host.
// - Files are read again for each new connection, so that a rotated certificate needs no restart. What cannot be read
//   or does not fit, because it is being written, leaves the last good one in use.
//
// grpc-js's own TLS is not used: it reads certificates once, takes a common name for a host, and cannot connect to an
// IP address on Node 26 (it sends the address as a server name, which Node refuses).
import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { isIP, type Socket } from 'node:net';
import { connect, createSecureContext, type PeerCertificate, type SecureContext } from 'node:tls';
import { CallCredentials, ChannelCredentials } from '@grpc/grpc-js';
import type { TokenSource } from './bearer.ts';
import { clientError } from './errors.ts';

export interface TlsOptions {
  /** CAs whose brokers are trusted: the path of a PEM file, or PEM. Default: the public ones that Node knows. */
  readonly ca?: string | Uint8Array;
  /** The client's own certificate, when the broker asks for one: the path of a PEM file, or PEM. With `key`. */
  readonly certificate?: string | Uint8Array;
  /** Its key: the path of a PEM file, or PEM. */
  readonly key?: string | Uint8Array;
  /** Host that the broker's certificate must be for. Default: the host of `server`. */
  readonly serverName?: string;
}

interface TokenOptions {
  readonly server: string;
  readonly tls?: TlsOptions | boolean;
  readonly token?: TokenSource;
  readonly tokenWithoutTls?: boolean;
}

type SecureConnector = ReturnType<ChannelCredentials['_createSecureConnector']>;

const handshakeTimeoutMs = 10_000;

/** Of `host:port`, `[ipv6]:port` or a name alone. */
export function hostOf(server: string): string {
  return /^\[([^\]]+)\]/.exec(server)?.[1] ?? server.replace(/:\d*$/, '');
}

/** Whether what is sent in plain text stays on this machine. */
export function isLoopback(server: string): boolean {
  const host = hostOf(server).toLowerCase();
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

/** Undefined: plain text. Throws ARGUMENT_INVALID. */
export function tlsOf(tls: TlsOptions | boolean | undefined): TlsOptions | undefined {
  if (tls === undefined || tls === false) return undefined;
  if (tls === true) return {};
  if ((tls.certificate === undefined) === (tls.key === undefined)) return tls;
  throw clientError('ARGUMENT_INVALID', '`tls.certificate` and `tls.key` go together');
}

/** Throws ARGUMENT_INVALID rather than to show a token to the network. */
export function tokenOf(options: TokenOptions): TokenSource | undefined {
  const { token, tls = false, tokenWithoutTls = false, server } = options;
  if (token === undefined || tls !== false || tokenWithoutTls || isLoopback(server)) return token;
  throw clientError(
    'ARGUMENT_INVALID',
    `a token for ${server} needs \`tls\`: in plain text whoever listens takes it`,
  );
}

export class TlsCredentials extends ChannelCredentials {
  private readonly host: string;
  private readonly options: TlsOptions;
  private lastContext: SecureContext | undefined;

  constructor(server: string, options: TlsOptions) {
    super();
    this.host = options.serverName ?? hostOf(server);
    this.options = options;
  }

  override _isSecure(): boolean {
    return true;
  }

  override _equals(other: ChannelCredentials): boolean {
    return this === other;
  }

  override _createSecureConnector(
    ...[, , callCredentials]: Parameters<ChannelCredentials['_createSecureConnector']>
  ): SecureConnector {
    return {
      connect: async (socket) => ({ socket: await this.secure(socket), secure: true }),
      waitForReady: async () => {},
      getCallCredentials: () => callCredentials ?? CallCredentials.createEmpty(),
      destroy() {},
    };
  }

  private async secure(socket: Socket): Promise<Socket> {
    const secureContext = await this.context();
    const { host } = this;
    return new Promise((resolve, reject) => {
      const secured = connect(
        {
          socket,
          secureContext,
          host,
          ALPNProtocols: ['h2'],
          // An address is no server name (RFC 6066).
          ...(isIP(host) === 0 && { servername: host }),
          checkServerIdentity: (_, certificate) => hostMismatch(host, certificate),
        },
        () => {
          secured.setTimeout(0);
          if (secured.alpnProtocol === 'h2') resolve(secured);
          else secured.destroy(new Error('what answers there speaks TLS, but no gRPC'));
        },
      );
      secured.setTimeout(handshakeTimeoutMs, () => {
        secured.destroy(new Error(`the TLS handshake took more than ${handshakeTimeoutMs} ms`));
      });
      secured.once('error', reject);
      secured.once('close', () => reject(new Error('closed during the TLS handshake')));
    });
  }

  private async context(): Promise<SecureContext> {
    const { ca, certificate, key } = this.options;
    try {
      this.lastContext = createSecureContext({
        minVersion: 'TLSv1.2',
        ...(ca !== undefined && { ca: await pemOf(ca) }),
        ...(certificate !== undefined && { cert: await pemOf(certificate) }),
        ...(key !== undefined && { key: await pemOf(key) }),
      });
    } catch (error) {
      if (this.lastContext === undefined) throw error;
    }
    return this.lastContext;
  }
}

async function pemOf(source: string | Uint8Array): Promise<Buffer | string> {
  if (typeof source !== 'string') return Buffer.from(source);
  return source.includes('-----BEGIN ') ? source : readFile(source);
}

function hostMismatch(host: string, { raw, subjectaltname }: PeerCertificate): Error | undefined {
  const certificate = new X509Certificate(raw);
  const matches =
    isIP(host) === 0
      ? certificate.checkHost(host, { subject: 'never' })
      : certificate.checkIP(host);
  if (matches !== undefined) return undefined;
  return new Error(
    `the broker's certificate is not for ${host} but for ${subjectaltname ?? 'nobody'}`,
  );
}
