// How a verb reaches its broker: flag, else variable, else context, else the broker of this machine in plain text.
//
// Invariants:
// - What a context has is for that context's broker only: when a flag or a variable names another one, nothing of the
//   context is used. A token or a certificate is never shown to a broker that it was not meant for.
// - A token comes from a file or a variable, never from an argument: arguments are there for all to see.
import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { ConnectOptions, TlsOptions } from '../client/src/index.ts';
import {
  contextOf,
  contextsPath,
  readContexts,
  type Context,
  type Contexts,
  type Environment,
} from './contexts.ts';
import { UsageError } from './exit.ts';

/** Flags that say how a broker is reached, as commander answers them. */
export interface ConnectionFlags extends Context {
  readonly context?: string;
}

const defaultServer = '127.0.0.1:6700';

/** Adds what stands in a context to a verb, and `--context` unless it is the verb that makes one. */
export function withConnectionFlags(command: Command, verb: 'talks' | 'adds'): Command {
  if (verb === 'talks') {
    command.option('--context <name>', 'a broker that was added by name (MILLRACE_CONTEXT)');
  }
  return command
    .option('--server <host:port>', `the broker (MILLRACE_SERVER; default ${defaultServer})`)
    .option('--tls', 'TLS; implied by the --tls-... options (MILLRACE_TLS=true)')
    .option('--tls-ca <file>', 'CAs whose brokers are trusted, in PEM (MILLRACE_TLS_CA)')
    .option('--tls-cert <file>', 'your certificate, in PEM (MILLRACE_CLIENT_CERT)')
    .option('--tls-key <file>', 'its key, in PEM (MILLRACE_CLIENT_KEY)')
    .option(
      '--tls-server-name <host>',
      "host of the broker's certificate, when it is not that of --server (MILLRACE_TLS_SERVER_NAME)",
    )
    .option(
      '--token-file <file>',
      'the token that says who you are (MILLRACE_TOKEN_FILE; MILLRACE_TOKEN holds one itself)',
    );
}

/** Reads the context, if one is used, and the token. Throws UsageError. */
export async function connectionOptions(
  flags: ConnectionFlags,
  env: Environment,
): Promise<ConnectOptions & { readonly server: string }> {
  const contexts = await readContexts(contextsPath(env));
  const reach = reachOf(flags, env, contexts);
  const { server = defaultServer, tokenFile } = reach;
  const tls = tlsOf(reach);
  // A variable of this shell is nearer than a context's file.
  const inline = flags.tokenFile === undefined ? env['MILLRACE_TOKEN'] : undefined;
  const token = inline ?? (tokenFile === undefined ? undefined : await readToken(tokenFile));
  return {
    server,
    ...(tls !== undefined && { tls }),
    ...(token !== undefined && token.trim() !== '' && { token: token.trim() }),
  };
}

/** Which broker, and how. Throws UsageError. */
export function reachOf(flags: ConnectionFlags, env: Environment, contexts: Contexts): Context {
  const variables = fromEnvironment(env);
  const named = flags.context ?? env['MILLRACE_CONTEXT'];
  const context = contextInUse(contexts, named);
  const server = flags.server ?? variables.server;
  if (server !== undefined && server !== context.server) {
    if (flags.context !== undefined) {
      throw new UsageError(`context ${flags.context} is for ${context.server}, not for ${server}`);
    }
    return { ...variables, ...given(flags) };
  }
  return { ...context, ...variables, ...given(flags) };
}

/** Undefined: plain text. */
export function tlsOf(reach: Context): TlsOptions | undefined {
  const { tlsCa: ca, tlsCert: certificate, tlsKey: key, tlsServerName: serverName } = reach;
  const options: TlsOptions = {
    ...(ca !== undefined && { ca }),
    ...(certificate !== undefined && { certificate }),
    ...(key !== undefined && { key }),
    ...(serverName !== undefined && { serverName }),
  };
  return reach.tls === true || Object.keys(options).length > 0 ? options : undefined;
}

/** What of a context the flags say. */
export function given(flags: ConnectionFlags): Context {
  const { server, tls, tlsCa, tlsCert, tlsKey, tlsServerName, tokenFile } = flags;
  return {
    ...(server !== undefined && { server }),
    ...(tls !== undefined && { tls }),
    ...(tlsCa !== undefined && { tlsCa }),
    ...(tlsCert !== undefined && { tlsCert }),
    ...(tlsKey !== undefined && { tlsKey }),
    ...(tlsServerName !== undefined && { tlsServerName }),
    ...(tokenFile !== undefined && { tokenFile }),
  };
}

function contextInUse(contexts: Contexts, named: string | undefined): Context {
  const name = named ?? contexts.current;
  return name === undefined ? {} : contextOf(contexts, name);
}

function fromEnvironment(env: Environment): Context {
  const text = (name: string): string | undefined => env[name] || undefined;
  const tls = text('MILLRACE_TLS');
  if (tls !== undefined && tls !== 'true' && tls !== 'false') {
    throw new UsageError('MILLRACE_TLS is true or false');
  }
  const variables = {
    server: text('MILLRACE_SERVER'),
    tls: tls === undefined ? undefined : tls === 'true',
    tlsCa: text('MILLRACE_TLS_CA'),
    tlsCert: text('MILLRACE_CLIENT_CERT'),
    tlsKey: text('MILLRACE_CLIENT_KEY'),
    tlsServerName: text('MILLRACE_TLS_SERVER_NAME'),
    tokenFile: text('MILLRACE_TOKEN_FILE'),
  };
  return Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== undefined));
}

async function readToken(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new UsageError(`the token cannot be read: ${why}`);
  }
}
