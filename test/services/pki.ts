// Throw-away keys and certificates of a control plane, by openssl.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Missing } from '../support/needs.ts';

const serverNames = [
  'IP:127.0.0.1',
  'IP:10.96.0.1',
  'DNS:localhost',
  'DNS:kubernetes',
  'DNS:kubernetes.default',
  'DNS:kubernetes.default.svc',
  'DNS:kubernetes.default.svc.cluster.local',
];

/** For `describeNeeding`. */
export function missingOpenssl(): Missing {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return undefined;
  } catch {
    return 'openssl; install it';
  }
}

export class Pki {
  readonly directory: string;

  private constructor(directory: string) {
    this.directory = directory;
  }

  /** A CA, the API server's certificate for the names, and the key pair that signs service-account tokens. */
  static create(directory: string, names: readonly string[] = []): Pki {
    mkdirSync(directory, { recursive: true });
    const pki = new Pki(directory);
    pki.ecKey('ca');
    pki.openssl(
      ...['req', '-x509', '-new', '-key', 'ca.key', '-subj', '/CN=millrace-test-ca'],
      ...['-days', '30', '-out', 'ca.crt'],
      ...['-addext', 'basicConstraints=critical,CA:TRUE'],
      ...['-addext', 'keyUsage=critical,keyCertSign,cRLSign'],
    );
    pki.issue('apiserver', '/CN=kube-apiserver', 'serverAuth', [...serverNames, ...names]);
    pki.openssl('genrsa', '-out', 'sa.key', '2048');
    pki.openssl('rsa', '-in', 'sa.key', '-pubout', '-out', 'sa.pub');
    return pki;
  }

  path(file: string): string {
    return join(this.directory, file);
  }

  /** `NAME.crt` and `NAME.key`; `names` such as `DNS:localhost`. */
  issue(name: string, subject: string, usage: string, names: readonly string[] = []): void {
    this.ecKey(name);
    this.openssl('req', '-new', '-key', `${name}.key`, '-subj', subject, '-out', `${name}.csr`);
    const extensions = [`extendedKeyUsage=${usage}`, 'keyUsage=digitalSignature'];
    if (names.length > 0) extensions.push(`subjectAltName=${names.join(',')}`);
    writeFileSync(this.path(`${name}.ext`), `${extensions.join('\n')}\n`);
    this.openssl(
      ...['x509', '-req', '-in', `${name}.csr`, '-CA', 'ca.crt', '-CAkey', 'ca.key'],
      ...['-CAcreateserial', '-days', '30', '-out', `${name}.crt`, '-extfile', `${name}.ext`],
    );
  }

  /** Writes `NAME.kubeconfig` for the certificate of that name; answers its path. */
  kubeconfig(name: string, server: string): string {
    const base64 = (file: string): string => readFileSync(this.path(file)).toString('base64');
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [
        { name: 't', cluster: { server, 'certificate-authority-data': base64('ca.crt') } },
      ],
      users: [
        {
          name: 'u',
          user: {
            'client-certificate-data': base64(`${name}.crt`),
            'client-key-data': base64(`${name}.key`),
          },
        },
      ],
      contexts: [{ name: 'c', context: { cluster: 't', user: 'u' } }],
      'current-context': 'c',
    };
    const path = this.path(`${name}.kubeconfig`);
    writeFileSync(path, JSON.stringify(config), { mode: 0o600 });
    return path;
  }

  private ecKey(name: string): void {
    this.openssl('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', `${name}.key`);
  }

  private openssl(...args: string[]): void {
    execFileSync('openssl', args, { cwd: this.directory, stdio: ['ignore', 'ignore', 'ignore'] });
  }
}
