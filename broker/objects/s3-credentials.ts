// Credentials of an S3 store: from variables, from the shared credentials file, or from a role.
//
// Invariants:
// - They are looked for in the order of AWS's own tools, and the first place that has some wins.
// - Files are read again while the broker runs; roles are renewed before they expire.
// - No secret ever stands in an error.
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { systemClock, type Clock } from '../core/clock.ts';
import { BrokerError } from '../core/errors.ts';
import { roleCredentials } from './s3-role.ts';

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
export async function credentialsOf(
  environment: Environment,
  clock: Clock = systemClock,
): Promise<CredentialSource> {
  const fixed = fromVariables(environment);
  if (fixed !== undefined) return () => Promise.resolve(fixed);
  const path = credentialsFile(environment);
  const profile = setIn(environment, 'AWS_PROFILE') ?? 'default';
  const read = await readProfile(path, profile);
  if (typeof read !== 'string') return fromFile(path, profile, clock);
  const role = roleCredentials(environment, clock);
  if (role !== undefined) return role;
  throw noCredentials(path, read);
}

function noCredentials(path: string, why: string): BrokerError {
  return new BrokerError(
    'STORE_FAILED',
    'no credentials for the object store: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or have them in ' +
      `${path} (${why}), or set AWS_WEB_IDENTITY_TOKEN_FILE and AWS_ROLE_ARN`,
    { metadata: { code: 'no_credentials' } },
  );
}

function fromVariables(environment: Environment): S3Credentials | undefined {
  const accessKey = setIn(environment, 'AWS_ACCESS_KEY_ID');
  const secretKey = setIn(environment, 'AWS_SECRET_ACCESS_KEY');
  if (accessKey === undefined && secretKey === undefined) return undefined;
  if (accessKey === undefined || secretKey === undefined) {
    const [there, missing] =
      accessKey === undefined
        ? ['SECRET_ACCESS_KEY', 'ACCESS_KEY_ID']
        : ['ACCESS_KEY_ID', 'SECRET_ACCESS_KEY'];
    throw new BrokerError(
      'STORE_FAILED',
      `half of the credentials for the object store: AWS_${there} is set, AWS_${missing} is not; set both or none`,
      { metadata: { code: 'no_credentials' } },
    );
  }
  return withToken(accessKey, secretKey, setIn(environment, 'AWS_SESSION_TOKEN'));
}

/** A variable that is empty counts as none: charts and shells leave some so. */
function setIn(environment: Environment, name: string): string | undefined {
  const value = environment[name];
  return value === '' ? undefined : value;
}

function fromFile(path: string, profile: string, clock: Clock): CredentialSource {
  let readAtMs = -Infinity;
  let known: S3Credentials | undefined;
  return async () => {
    const nowMs = clock.monotonicMs();
    if (known !== undefined && nowMs - readAtMs <= fileKeptMs) return known;
    readAtMs = nowMs;
    const read = await readProfile(path, profile);
    if (typeof read !== 'string') known = read;
    // A file that is being replaced may be missing, or have half of it, for a moment.
    else if (known === undefined) throw noCredentials(path, read);
    return known;
  };
}

function credentialsFile(environment: Environment): string {
  const named = setIn(environment, 'AWS_SHARED_CREDENTIALS_FILE');
  return named ?? join(homedir(), '.aws', 'credentials');
}

/** The profile's section of an AWS credentials file, or why there are none in it. */
async function readProfile(path: string, profile: string): Promise<S3Credentials | string> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    return error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
  }
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
  if (accessKey === undefined || secretKey === undefined) return `none for profile ${profile}`;
  return withToken(accessKey, secretKey, values.get('aws_session_token'));
}

function withToken(
  accessKey: string,
  secretKey: string,
  sessionToken: string | undefined,
): S3Credentials {
  return { accessKey, secretKey, ...(sessionToken === undefined ? {} : { sessionToken }) };
}
