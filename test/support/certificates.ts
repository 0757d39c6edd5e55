// Certificates for tests, made in a millisecond without a tool or a library: the few DER structures of X.509 that TLS
// reads, signed by node:crypto. Right ones, and ones that a verifier must refuse.
import { generateKeyPairSync, randomBytes, sign, type KeyObject } from 'node:crypto';
import { isIP } from 'node:net';

const dayMs = 24 * 3600 * 1000;

export interface CertificateOptions {
  /** Each becomes a common name of the subject. */
  readonly commonNames: readonly string[];
  /** Host names and IP addresses of the subject alternative name; none: no such extension. */
  readonly hosts?: readonly string[];
  readonly isCa?: boolean;
  /** Default: a day ago. */
  readonly notBefore?: Date;
  /** Default: in 30 days. */
  readonly notAfter?: Date;
}

/** A certificate with its key, both as PEM. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

/** Signs certificates; its own is `cert`. */
export class CertificateAuthority implements Certificate {
  readonly cert: string;
  readonly key: string;
  private readonly name: Buffer;
  private readonly signer: KeyObject;

  constructor(commonName: string) {
    const { publicKey, privateKey } = keyPair();
    this.signer = privateKey;
    // Two CAs of one name are taken for each other.
    const ownName = `${commonName} ${randomBytes(4).toString('hex')}`;
    this.name = nameOf([ownName]);
    this.cert = this.certify(publicKey, { commonNames: [ownName], isCa: true });
    this.key = pemOfKey(privateKey);
  }

  issue(options: CertificateOptions): Certificate {
    const { publicKey, privateKey } = keyPair();
    return { cert: this.certify(publicKey, options), key: pemOfKey(privateKey) };
  }

  /** For a server on this machine. */
  issueServer(options: Partial<CertificateOptions> = {}): Certificate {
    const hosts = ['localhost', '127.0.0.1', '::1'];
    return this.issue({ commonNames: ['broker'], hosts, ...options });
  }

  private certify(publicKey: KeyObject, options: CertificateOptions): string {
    const { commonNames, hosts = [], isCa = false } = options;
    const {
      notBefore = new Date(Date.now() - dayMs),
      notAfter = new Date(Date.now() + 30 * dayMs),
    } = options;
    const extensions = [
      extension('551d13', sequence(...(isCa ? [der(0x01, Buffer.from([0xff]))] : [])), true),
      ...(hosts.length > 0 ? [extension('551d11', sequence(...hosts.map(generalName)))] : []),
    ];
    const serial = Buffer.concat([Buffer.from([0x01]), randomBytes(8)]);
    const body = sequence(
      der(0xa0, der(0x02, Buffer.from([2]))),
      der(0x02, serial),
      ecdsaWithSha256,
      this.name,
      sequence(timeOf(notBefore), timeOf(notAfter)),
      nameOf(commonNames),
      publicKey.export({ type: 'spki', format: 'der' }),
      der(0xa3, sequence(...extensions)),
    );
    const signature = sign('sha256', body, this.signer);
    return pem('CERTIFICATE', sequence(body, ecdsaWithSha256, bitString(signature)));
  }
}

const ecdsaWithSha256 = sequence(der(0x06, Buffer.from('2a8648ce3d040302', 'hex')));

function keyPair() {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' });
}

function pemOfKey(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString();
}

function pem(label: string, bytes: Buffer): string {
  const lines = bytes.toString('base64').replaceAll(/.{64}/g, '$&\n').trimEnd();
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}

function nameOf(commonNames: readonly string[]): Buffer {
  const type = der(0x06, Buffer.from('550403', 'hex'));
  return sequence(
    ...commonNames.map((name) => der(0x31, sequence(type, der(0x0c, Buffer.from(name))))),
  );
}

function generalName(host: string): Buffer {
  const version = isIP(host);
  if (version === 0) return der(0x82, Buffer.from(host));
  if (version === 4) return der(0x87, Buffer.from(host.split('.').map(Number)));
  if (host !== '::1') throw new TypeError(`an address that this cannot write: ${host}`);
  return der(0x87, Buffer.concat([Buffer.alloc(15), Buffer.from([1])]));
}

function extension(oid: string, value: Buffer, critical = false): Buffer {
  return sequence(
    der(0x06, Buffer.from(oid, 'hex')),
    ...(critical ? [der(0x01, Buffer.from([0xff]))] : []),
    der(0x04, value),
  );
}

function timeOf(date: Date): Buffer {
  const digits = date.toISOString().replaceAll(/[-:T]|\.\d+/g, '');
  return der(0x18, Buffer.from(digits));
}

function bitString(bytes: Buffer): Buffer {
  return der(0x03, Buffer.concat([Buffer.from([0]), bytes]));
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return der(0x30, Buffer.concat(parts));
}

function der(tag: number, content: Buffer): Buffer {
  const { length } = content;
  const head =
    length < 0x80
      ? [tag, length]
      : length < 0x100
        ? [tag, 0x81, length]
        : [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(head), content]);
}
