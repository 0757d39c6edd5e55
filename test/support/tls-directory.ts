// The files that a broker with TLS is started with, in a folder of their own, and the CAs that they come from.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CertificateAuthority, type Certificate } from './certificates.ts';

export class TlsDirectory implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), 'millrace-tls-'));
  /** Of the broker. */
  readonly ca = new CertificateAuthority('millrace test');
  /** Of its clients. */
  readonly clientCa = new CertificateAuthority('millrace test clients');

  constructor() {
    this.writeServer(this.ca.issueServer());
    this.write('ca.pem', this.ca.cert);
    this.write('client-ca.pem', this.clientCa.cert);
    this.writeClient(this.clientCa.issue({ commonNames: ['alice'] }));
  }

  /** Arguments of `millrace start`. */
  get args(): string[] {
    return ['--tls-cert', this.file('server.pem'), '--tls-key', this.file('server.key')];
  }

  /** The same for a broker that wants certificates of its clients. */
  get mutualArgs(): string[] {
    return [...this.args, '--tls-client-ca', this.file('client-ca.pem')];
  }

  file(name: string): string {
    return join(this.path, name);
  }

  write(name: string, text: string): void {
    writeFileSync(this.file(name), text, { mode: 0o600 });
  }

  writeServer({ cert, key }: Certificate): void {
    this.write('server.pem', cert);
    this.write('server.key', key);
  }

  writeClient({ cert, key }: Certificate): void {
    this.write('client.pem', cert);
    this.write('client.key', key);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
