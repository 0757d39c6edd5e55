// Makes what the gate asks out of the settings: authenticators, operators, the audit log.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AccessControl } from './access/access-control.ts';
import { fixedToken, type FixedToken } from './access/api-tokens.ts';
import { AuditLog, noAudit, type Audit } from './access/audit-log.ts';
import { parseAuthConfig, type AuthConfig, type IssuerConfig } from './access/auth-config.ts';
import { IssuerKeys, type KeySource } from './access/issuer-keys.ts';
import { keysAtUrl, keysByDiscovery, keysInFile } from './access/issuer-urls.ts';
import { JwtAuthenticator, type TokenIssuer } from './access/jwt.ts';
import { principalOfServiceAccount } from './access/service-accounts.ts';
import type { CatalogState } from './catalog/catalog-state.ts';
import { jwtPrincipal } from './catalog/principal.ts';
import type { Clock } from './core/clock.ts';
import { BrokerError } from './core/errors.ts';
import type { Log } from './core/log.ts';
import { asksWhoYouAre, type Settings } from './settings.ts';

export interface OpenedAccess {
  readonly control: AccessControl;
  readonly audit: Audit;
  close(): Promise<void>;
}

/** HS256 with less than its hash's length can be guessed. */
const sharedSecretBytesMin = 32;

/** Throws SETTING_INVALID; ISSUER_UNAVAILABLE when a file of keys is not there. */
export async function openAccess(
  settings: Settings,
  catalog: Pick<CatalogState, 'grants' | 'tokens'>,
  clock: Clock,
  log: Log,
): Promise<OpenedAccess> {
  const { grants, tokens } = catalog;
  const isOpen = !asksWhoYouAre(settings);
  const config = await readConfig(settings.authConfig);
  const issuers = await Promise.all(config.issuers.map((issuer) => openIssuer(issuer, clock)));
  const control = new AccessControl({
    isOpen,
    grants,
    tokens,
    operators: settings.operators,
    fixedTokens: await Promise.all(config.apiTokens.map(readFixedToken)),
    authenticators: [new JwtAuthenticator(issuers, clock)],
    clock,
  });
  if (isOpen) return { control, audit: noAudit, async close() {} };
  const path = settings.auditLog ?? join(settings.dataDir, 'audit.log');
  const audit = await AuditLog.open({ path, clock, log });
  return { control, audit, close: () => audit.close() };
}

async function readConfig(path: string | undefined): Promise<AuthConfig> {
  if (path === undefined) return { apiTokens: [], issuers: [] };
  return parseAuthConfig(await readText(path));
}

async function readFixedToken({
  name,
  file,
}: AuthConfig['apiTokens'][number]): Promise<FixedToken> {
  const token = fixedToken({ tenant: '', name }, (await readText(file)).trim());
  if (token !== undefined) return token;
  throw settingInvalid(
    `the file ${file} of token ${name} holds no API token: it is mrt_ and 43 characters, 32 random bytes in base64url`,
  );
}

async function openIssuer(config: IssuerConfig, clock: Clock): Promise<TokenIssuer> {
  const { name, issuer, audiences, algorithms } = config;
  return {
    issuer,
    audiences,
    algorithms,
    key: await openKey(config, clock),
    principalOf: (claims) =>
      name === undefined
        ? principalOfServiceAccount(claims)
        : jwtPrincipal(name, String(claims.sub ?? '')),
  };
}

async function openKey(config: IssuerConfig, clock: Clock): Promise<TokenIssuer['key']> {
  const { keys } = config;
  if (keys.kind === 'secret') {
    const secret = (await readText(keys.path)).trim();
    if (Buffer.byteLength(secret) < sharedSecretBytesMin) {
      throw settingInvalid(
        `the secret in ${keys.path} has less than ${sharedSecretBytesMin} bytes`,
      );
    }
    return Buffer.from(secret, 'utf8');
  }
  const issuerKeys = new IssuerKeys(sourceOf(config, clock), clock);
  // A file that is not there is a mistake; an issuer that is away comes back.
  if (keys.kind === 'file') await issuerKeys.preload();
  return issuerKeys.find;
}

function sourceOf(config: IssuerConfig, clock: Clock): KeySource {
  const { keys, issuer } = config;
  if (keys.kind === 'file') return keysInFile(keys.path);
  if (keys.kind === 'url') return keysAtUrl(keys.url, config, clock);
  return keysByDiscovery(issuer, config, clock);
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw settingInvalid(`the file ${path} cannot be read: ${why}`);
  }
}

function settingInvalid(why: string): BrokerError {
  return new BrokerError('SETTING_INVALID', `setting --auth-config: ${why}`, {
    metadata: { setting: '--auth-config' },
  });
}
