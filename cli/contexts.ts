// Contexts: brokers under a name, with how to reach them, in one file of the user.
//
// Invariants:
// - The file holds paths of keys and tokens, never their contents; nobody but its owner may read or write it.
// - It is replaced as a whole: a broken write leaves the old one.
import { chmod, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { UsageError } from './exit.ts';

/** How a broker is reached. Paths are absolute. */
export interface Context {
  readonly server?: string;
  readonly tls?: boolean;
  readonly tlsCa?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsServerName?: string;
  readonly tokenFile?: string;
}

export interface Contexts {
  /** The one that is used when nothing else is said. */
  readonly current?: string;
  readonly contexts: Readonly<Record<string, Context>>;
}

export type Environment = Readonly<Record<string, string | undefined>>;

const texts = ['server', 'tlsCa', 'tlsCert', 'tlsKey', 'tlsServerName', 'tokenFile'] as const;
const nameForm = /^[a-z0-9][a-z0-9._-]{0,63}$/i;

export function contextsPath(env: Environment): string {
  if (env['MILLRACE_CONFIG'] !== undefined) return env['MILLRACE_CONFIG'];
  const config = env['XDG_CONFIG_HOME'] ?? join(homedir(), '.config');
  return join(config, 'millrace', 'contexts.json');
}

/** Empty when there is no file. Throws UsageError when it is not what this writes. */
export async function readContexts(path: string): Promise<Contexts> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
      return { contexts: {} };
    }
    throw error;
  }
  const contexts = contextsOf(parse(text));
  if (contexts !== undefined) return contexts;
  throw new UsageError(`${path} is not a file of contexts; mend it, or move it away`);
}

export async function writeContexts(path: string, contexts: Contexts): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const next = `${path}.${process.pid}`;
  await writeFile(next, `${JSON.stringify(contexts, null, 2)}\n`, { mode: 0o600 });
  // One that was left over keeps the mode that it had.
  await chmod(next, 0o600);
  await rename(next, path);
}

/** Throws UsageError. */
export function checkContextName(name: string): void {
  if (nameForm.test(name)) return;
  throw new UsageError(`a context is named with letters, digits, ".", "_" and "-", not ${name}`);
}

/** Throws UsageError. */
export function contextOf({ contexts }: Contexts, name: string): Context {
  const found = Object.hasOwn(contexts, name) ? contexts[name] : undefined;
  if (found !== undefined) return found;
  const known = Object.keys(contexts).join(', ') || 'none';
  throw new UsageError(`there is no context ${name}; there are: ${known}`);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function contextsOf(value: unknown): Contexts | undefined {
  if (!isObject(value) || !isObject(value['contexts'])) return undefined;
  const { current, contexts } = value;
  if (current !== undefined && typeof current !== 'string') return undefined;
  const entries = Object.entries(value['contexts']);
  if (!entries.every(([name, context]) => nameForm.test(name) && isContext(context))) {
    return undefined;
  }
  return {
    ...(current !== undefined && { current }),
    contexts: contexts as Record<string, Context>,
  };
}

function isContext(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { tls } = value;
  return (
    (tls === undefined || typeof tls === 'boolean') &&
    texts.every((key) => value[key] === undefined || typeof value[key] === 'string')
  );
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
