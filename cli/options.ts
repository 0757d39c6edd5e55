// Options that several verbs share, and how their texts are read.
import { InvalidArgumentError, Option, type Command } from 'commander';
import { readFile } from 'node:fs/promises';
import { connect, MillraceError, type Client } from '../client/src/index.ts';
import { UsageError } from './exit.ts';

export interface ClientOptions {
  readonly server: string;
  readonly output: 'json' | 'table';
  readonly tokenFile?: string;
}

/** Adds --server and -o to a verb that talks to a broker. */
export function withClientOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--server <host:port>', 'the broker to talk to')
        .env('MILLRACE_SERVER')
        .default('127.0.0.1:6700'),
    )
    .addOption(
      new Option(
        '--token-file <path>',
        'the token that says who you are; MILLRACE_TOKEN holds one itself',
      ).env('MILLRACE_TOKEN_FILE'),
    )
    .addOption(
      new Option('-o, --output <format>', 'how to print')
        .choices(['json', 'table'])
        .default('table'),
    );
}

/** Runs a verb with a client that is closed afterwards, whatever happens. */
export async function withClient(
  options: ClientOptions,
  run: (client: Client) => Promise<void>,
): Promise<void> {
  // A person waits: long enough for a broker that restarts, not longer.
  const callTimeoutMs = 5_000;
  const token = await tokenOf(options.tokenFile);
  const client = connect({
    server: options.server,
    name: 'millrace-cli',
    callTimeoutMs,
    ...(token === undefined ? {} : { token }),
  });
  try {
    await run(client);
  } catch (error) {
    throw error instanceof MillraceError && error.reason === 'UNREACHABLE'
      ? notReachable(options.server, error)
      : error;
  } finally {
    await client.close();
  }
}

/** From a file or a variable, never from an argument: arguments are there for all to see. */
async function tokenOf(file: string | undefined): Promise<string | undefined> {
  const token = file === undefined ? process.env['MILLRACE_TOKEN'] : await readToken(file);
  return token === undefined || token.trim() === '' ? undefined : token.trim();
}

async function readToken(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new UsageError(`--token-file ${file} cannot be read: ${why}`);
  }
}

function notReachable(server: string, cause: MillraceError): MillraceError {
  return new MillraceError(
    cause.kind,
    cause.reason,
    `no broker answers at ${server}; start one with "millrace start", or name another with --server`,
    { cause },
  );
}

export function parseCount(text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(value)) return value;
  throw new InvalidArgumentError('It must be a whole number from 0.');
}

const unitsMs: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** `250`, `250ms`, `30s`, `15m`, `12h`, `7d` in milliseconds. */
export function parseDurationMs(text: string): number {
  const match = /^(\d+)(ms|s|m|h|d)?$/.exec(text);
  const unit = unitsMs[match?.[2] ?? 'ms'];
  if (match === null || unit === undefined) {
    throw new InvalidArgumentError('It must be a duration such as 250ms, 30s, 15m, 12h or 7d.');
  }
  return Number(match[1]) * unit;
}

const unitsBytes: Readonly<Record<string, number>> = { K: 1024, M: 1024 ** 2, G: 1024 ** 3 };

/** `4096`, `64K`, `10M`, `2G` (powers of 1024; `KiB` and so on, too) in bytes. */
export function parseBytes(text: string): number {
  const match = /^(\d+)(?:([KMG])(?:iB)?)?$/.exec(text);
  if (match === null) {
    throw new InvalidArgumentError('It must be a size such as 4096, 64K, 10M or 2G.');
  }
  return Number(match[1]) * (unitsBytes[match[2] ?? ''] ?? 1);
}

export type From =
  'earliest' | 'latest' | { readonly offset: number } | { readonly timeMs: number };

/** `earliest`, `latest`, an offset, or a time as ISO 8601 (`2026-11-23T10:00:00Z`). */
export function parseFrom(text: string): From {
  if (text === 'earliest' || text === 'latest') return text;
  if (/^\d+$/.test(text)) return { offset: parseCount(text) };
  const timeMs = Date.parse(text);
  if (Number.isNaN(timeMs)) {
    throw new InvalidArgumentError(
      'It must be earliest, latest, an offset, or a time such as 2026-11-23T10:00:00Z.',
    );
  }
  return { timeMs };
}

/** ISO 8601, as ms since 1970. */
export function parseTime(text: string): number {
  const timeMs = Date.parse(text);
  if (!Number.isNaN(timeMs)) return timeMs;
  throw new InvalidArgumentError('It must be a time such as 2026-11-23T10:00:00Z.');
}

/** `name=value`, gathered over several uses. */
export function parseHeader(
  text: string,
  previous: readonly [string, string][] = [],
): readonly [string, string][] {
  const at = text.indexOf('=');
  if (at <= 0) throw new InvalidArgumentError('It must be name=value.');
  return [...previous, [text.slice(0, at), text.slice(at + 1)]];
}
