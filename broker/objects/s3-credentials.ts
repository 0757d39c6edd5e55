// Credentials of an S3 store: from variables, from the shared credentials file, or from a role.
//
// Invariants:
// - They are looked for in the order of AWS's own tools, and the first place that has some wins.
// - Files are read again while the broker runs; roles are renewed by minio's provider before they expire.
// - No secret ever stands in an error.
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { IamAwsProvider } from 'minio';
import { systemClock } from '../core/clock.ts';
import { BrokerError } from '../core/errors.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** How old what was read from a file may be. */
const fileKeptMs = 30_000;

export interface S3Credentials {
  readonly accessKey: string;
  readonly secretKey: string;
  readonly sessionToken?: string;
}

/** Asked before every call; answers from memory while what it has is fresh. */
export type CredentialSource = () => Promise<S3Credentials>;

/** Throws STORE_FAILED when no place has credentials. */
export async function credentialsOf(environment: Environment): Promise<CredentialSource> {
  const fixed = fromVariables(environment);
  if (fixed !== undefined) return () => Promise.resolve(fixed);
  const path = credentialsFile(environment);
  const profile = environment['AWS_PROFILE'] ?? 'default';
  if ((await readProfile(path, profile)) !== undefined) return fromFile(path, profile);
  const roles = [
    'AWS_WEB_IDENTITY_TOKEN_FILE',
    'AWS_CONTAINER_CREDENTIALS_FULL_URI',
    'AWS_CONTAINER_CREDENTIALS_RELATIVE_URI',
  ];
  if (roles.some((name) => environment[name] !== undefined)) return fromRole();
  throw noCredentials(`profile ${profile} in ${path}`);
}

function noCredentials(file: string): BrokerError {
  return new BrokerError(
    'STORE_FAILED',
    'no credentials for the object store: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or have ' +
      `${file}, or set AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE`,
    { metadata: { code: 'no_credentials' } },
  );
}

function fromVariables(environment: Environment): S3Credentials | undefined {
  const accessKey = environment['AWS_ACCESS_KEY_ID'];
  const secretKey = environment['AWS_SECRET_ACCESS_KEY'];
  if (accessKey === undefined || secretKey === undefined) return undefined;
  return withToken(accessKey, secretKey, environment['AWS_SESSION_TOKEN']);
}

/** minio's provider keeps what it got until shortly before it expires. */
function fromRole(): CredentialSource {
  const provider = new IamAwsProvider({});
  return async () => {
    const given = await provider.getCredentials();
    return withToken(given.getAccessKey(), given.getSecretKey(), given.getSessionToken());
  };
}

function fromFile(path: string, profile: string): CredentialSource {
  let readAtMs = -Infinity;
  let known: S3Credentials | undefined;
  return async () => {
    const nowMs = systemClock.monotonicMs();
    if (nowMs - readAtMs > fileKeptMs) {
      // A file that is being replaced may be missing for a moment.
      known = (await readProfile(path, profile)) ?? known;
      readAtMs = nowMs;
    }
    if (known === undefined) throw noCredentials(`profile ${profile} in ${path}`);
    return known;
  };
}

function credentialsFile(environment: Environment): string {
  return environment['AWS_SHARED_CREDENTIALS_FILE'] ?? join(homedir(), '.aws', 'credentials');
}

/** The profile's section of an AWS credentials file; undefined when it has none. */
async function readProfile(path: string, profile: string): Promise<S3Credentials | undefined> {
  const text = await readFile(path, 'utf8').catch(() => '');
  const values = new Map<string, string>();
  let section = '';
  for (const line of text.split('\n')) {
    const header = /^\s*\[\s*([^\]]+?)\s*\]/.exec(line);
    if (header !== null) section = header[1] ?? '';
    const pair = /^\s*([a-z_]+)\s*=\s*(\S+)\s*$/.exec(line);
    if (pair !== null && section === profile) values.set(pair[1] ?? '', pair[2] ?? '');
  }
  const accessKey = values.get('aws_access_key_id');
  const secretKey = values.get('aws_secret_access_key');
  if (accessKey === undefined || secretKey === undefined) return undefined;
  return withToken(accessKey, secretKey, values.get('aws_session_token'));
}

function withToken(
  accessKey: string,
  secretKey: string,
  sessionToken: string | undefined,
): S3Credentials {
  return { accessKey, secretKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
}
