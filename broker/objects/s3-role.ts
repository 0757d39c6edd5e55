// Credentials that a role gives for a while: a web identity (IAM roles for service accounts, or MinIO's STS) or the
// agent of a container (EKS Pod Identity, ECS).
//
// Invariants:
// - They are renewed before they expire, and what is still good is used while the renewal is under way or fails.
// - One request at a time, each with a deadline, not more often than every few seconds.
// - Token files are read again at each renewal: Kubernetes replaces them.
// - No token and no secret ever stands in an error.
import { readFile } from 'node:fs/promises';
import type { Clock } from '../core/clock.ts';
import { BrokerError } from '../core/errors.ts';
import type { CredentialSource, Environment, S3Credentials } from './s3-credentials.ts';

interface Granted {
  readonly credentials: S3Credentials;
  readonly expiresAtMs: number;
}

/** As AWS's own tools. A role's credentials live for 15 minutes at least. */
const renewBeforeMs = 5 * 60_000;
/** Not used any more: a request signed with them could arrive too late. */
const deadBeforeMs = 10_000;
const renewEveryMs = 5_000;
const callMs = 10_000;
/** An answer is about 2 KiB. */
const answerBytesMax = 64 * 1024;
const containerHost = 'http://169.254.170.2';

/** What the environment names as a role; undefined when it names none. */
export function roleCredentials(env: Environment, clock: Clock): CredentialSource | undefined {
  const tokenFile = env['AWS_WEB_IDENTITY_TOKEN_FILE'];
  if (isSet(tokenFile)) return renewed(() => assumeRole(env, tokenFile), clock);
  const uri = env['AWS_CONTAINER_CREDENTIALS_FULL_URI'];
  if (isSet(uri)) return renewed(() => askContainer(env, uri), clock);
  const path = env['AWS_CONTAINER_CREDENTIALS_RELATIVE_URI'];
  if (isSet(path)) return renewed(() => askContainer(env, `${containerHost}${path}`), clock);
  return undefined;
}

function renewed(grant: () => Promise<Granted>, clock: Clock): CredentialSource {
  let known: Granted | undefined;
  let renewal: Promise<Granted> | undefined;
  let triedAtMs = -Infinity;
  const renew = (): Promise<Granted> => {
    triedAtMs = clock.monotonicMs();
    renewal ??= grant()
      .then((granted) => (known = granted))
      .finally(() => (renewal = undefined));
    return renewal;
  };
  return async () => {
    const leftMs = known === undefined ? 0 : known.expiresAtMs - clock.wallMs();
    if (known === undefined || leftMs <= deadBeforeMs) return (await renew()).credentials;
    const isDue = leftMs <= renewBeforeMs && clock.monotonicMs() - triedAtMs >= renewEveryMs;
    // What we have still works; a failure shows when it does not any more.
    if (isDue) renew().catch(() => {});
    return known.credentials;
  };
}

async function assumeRole(env: Environment, tokenFile: string): Promise<Granted> {
  const what = 'AssumeRoleWithWebIdentity';
  const region = env['AWS_REGION'] ?? env['AWS_DEFAULT_REGION'] ?? '';
  const domain = region.startsWith('cn-') ? 'amazonaws.com.cn' : 'amazonaws.com';
  const usual = `https://sts.${region === '' ? '' : `${region}.`}${domain}`;
  const role = env['AWS_ROLE_ARN'];
  const form = new URLSearchParams({
    Action: what,
    Version: '2011-06-15',
    WebIdentityToken: await tokenIn(tokenFile),
    ...(isSet(role) && {
      RoleArn: role,
      RoleSessionName: env['AWS_ROLE_SESSION_NAME'] ?? 'millrace',
    }),
  });
  const url = env['AWS_ENDPOINT_URL_STS'] ?? usual;
  const { status, text } = await ask(what, url, { method: 'POST', body: form });
  const field = (name: string): string => new RegExp(`<${name}>([^<]+)</`).exec(text)?.[1] ?? '';
  if (status !== 200) throw refused(what, url, field('Code') || `status ${status}`);
  return granted(what, url, {
    accessKey: field('AccessKeyId'),
    secretKey: field('SecretAccessKey'),
    sessionToken: field('SessionToken'),
    expiration: field('Expiration'),
  });
}

async function askContainer(env: Environment, url: string): Promise<Granted> {
  const what = 'the credentials of the container';
  const tokenFile = env['AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE'];
  const token = isSet(tokenFile)
    ? await tokenIn(tokenFile)
    : (env['AWS_CONTAINER_AUTHORIZATION_TOKEN'] ?? '');
  const headers: Record<string, string> = token === '' ? {} : { authorization: token };
  const { status, text } = await ask(what, url, { headers });
  if (status !== 200) throw refused(what, url, `status ${status}`);
  const answer = fieldsOf(text);
  return granted(what, url, {
    accessKey: answer['AccessKeyId'],
    secretKey: answer['SecretAccessKey'],
    sessionToken: answer['Token'],
    expiration: answer['Expiration'],
  });
}

function granted(
  what: string,
  url: string,
  answer: Readonly<Record<'accessKey' | 'secretKey' | 'sessionToken' | 'expiration', unknown>>,
): Granted {
  const { accessKey, secretKey, sessionToken, expiration } = answer;
  const expiresAtMs = Date.parse(String(expiration));
  const isWhole = isSet(accessKey) && isSet(secretKey) && isSet(sessionToken);
  if (!isWhole || !Number.isFinite(expiresAtMs)) throw refused(what, url, 'incomplete answer');
  return { credentials: { accessKey, secretKey, sessionToken }, expiresAtMs };
}

function fieldsOf(json: string): Readonly<Record<string, unknown>> {
  try {
    const parsed: unknown = JSON.parse(json);
    return typeof parsed === 'object' && parsed !== null ? { ...parsed } : {};
  } catch {
    return {};
  }
}

async function ask(
  what: string,
  url: string,
  init: Pick<RequestInit, 'method' | 'body' | 'headers'>,
): Promise<{ readonly status: number; readonly text: string }> {
  try {
    const signal = AbortSignal.timeout(callMs);
    const response = await fetch(url, { ...init, redirect: 'error', signal });
    const text = await response.text();
    return { status: response.status, text: text.slice(0, answerBytesMax) };
  } catch (error) {
    const { cause } = error instanceof Error ? error : { cause: undefined };
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'no answer';
    throw refused(what, url, code);
  }
}

async function tokenIn(path: string): Promise<string> {
  try {
    return (await readFile(path, 'utf8')).trim();
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
    throw new BrokerError(
      'STORE_FAILED',
      `the token of the role in ${path} cannot be read (${code}); mount it, or correct the variable that names it`,
      { metadata: { code: 'role_token_unreadable' } },
    );
  }
}

/** The URL without what may be secret in it. */
function refused(what: string, url: string, why: string): BrokerError {
  const { origin = url, pathname = '' } = URL.canParse(url) ? new URL(url) : {};
  return new BrokerError(
    'STORE_FAILED',
    `${what} at ${origin}${pathname} failed: ${why}; look whether the role may be assumed by this service account and ` +
      'whether that address can be reached; it is tried again',
    { metadata: { code: 'role_refused' } },
  );
}

function isSet(value: unknown): value is string {
  return typeof value === 'string' && value !== '';
}
