// A real broker that asks callers who they are, with an issuer of tokens and an API token that operates.
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type Client, type Role } from '../../client/src/index.ts';
import {
  goodClaims,
  issuerUrl,
  keySet,
  makeSigner,
  sign,
  type Claims,
  type Signer,
} from '../access/signers.ts';
import { BrokerProcess, type BrokerProcessOptions } from './broker-process.ts';

/** How principals of the issuer begin. */
export const issuerName = 'corp';

export class SecuredBroker implements AsyncDisposable {
  readonly broker: BrokerProcess;
  readonly directory: string;
  /** Of the API token `token:admin`, which operates by the settings. */
  readonly adminSecret: string;
  readonly signer: Signer;
  readonly admin: Client;

  private constructor(
    broker: BrokerProcess,
    directory: string,
    adminSecret: string,
    signer: Signer,
  ) {
    this.broker = broker;
    this.directory = directory;
    this.adminSecret = adminSecret;
    this.signer = signer;
    this.admin = connect({ server: broker.server, token: adminSecret });
  }

  static async start(options: BrokerProcessOptions = {}): Promise<SecuredBroker> {
    const directory = await mkdtemp(join(tmpdir(), 'millrace-secured-'));
    const adminSecret = `mrt_${randomBytes(32).toString('base64url')}`;
    const signer = await makeSigner('ES256', 'test');
    const config = {
      apiTokens: [{ name: 'admin', file: join(directory, 'admin') }],
      issuers: [
        {
          name: issuerName,
          issuer: issuerUrl,
          audiences: ['millrace'],
          keys: { file: join(directory, 'keys.json') },
        },
      ],
    };
    await writeFile(join(directory, 'admin'), `${adminSecret}\n`);
    await writeFile(join(directory, 'keys.json'), keySet(signer));
    await writeFile(join(directory, 'auth.json'), JSON.stringify(config));
    const args = ['--auth-config', join(directory, 'auth.json'), '--operators', 'token:admin'];
    const broker = await BrokerProcess.start({
      ...options,
      args: [...args, ...(options.args ?? [])],
    });
    return new SecuredBroker(broker, directory, adminSecret, signer);
  }

  get server(): string {
    return this.broker.server;
  }

  get auditPath(): string {
    return join(this.broker.dataDir, 'audit.log');
  }

  /** A token of the issuer; `more` replaces claims. */
  token(subject: string, more: Claims = {}): Promise<string> {
    return sign(this.signer, { ...goodClaims(subject), ...more });
  }

  /** Grants to a subject of the issuer; answers a token for it. */
  async grant(subject: string, scope: string, ...roles: Role[]): Promise<string> {
    await this.admin.access.grant(principalOf(subject), scope, roles);
    return this.token(subject);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.admin.close();
    await this.broker[Symbol.asyncDispose]();
    await rm(this.directory, { recursive: true, force: true });
  }
}

export function principalOf(subject: string): string {
  return `jwt:${issuerName}:${subject}`;
}
