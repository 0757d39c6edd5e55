// Options that several verbs share, and how their texts are read.
import { InvalidArgumentError, Option, type Command } from 'commander';
import { connect, MillraceError, type Client, type ConnectOptions } from '../client/src/index.ts';
import {
  connectionOptions,
  withConnectionFlags,
  type ConnectionFlags,
} from './connection-options.ts';

export interface ClientOptions extends ConnectionFlags {
  readonly output: 'json' | 'table';
}

/** Adds how the broker is reached, and -o, to a verb that talks to one. */
export function withClientOptions(command: Command): Command {
  return withConnectionFlags(command, 'talks').addOption(
    new Option('-o, --output <format>', 'how to print').choices(['json', 'table']).default('table'),
  );
}

/** Runs a verb with a client that is closed afterwards, whatever happens. */
export async function withClient(
  options: ClientOptions,
  run: (client: Client) => Promise<void>,
): Promise<void> {
  // A person waits: long enough for a broker that restarts, not longer.
  const callTimeoutMs = 5_000;
  const reach = await connectionOptions(options, process.env);
  const client = connect({ ...reach, name: 'millrace-cli', callTimeoutMs });
  try {
    await run(client);
  } catch (error) {
    throw error instanceof MillraceError && error.reason === 'UNREACHABLE'
      ? notReachable(reach, error)
      : error;
  } finally {
    await client.close();
  }
}

function notReachable({ server, tls }: ConnectOptions, cause: MillraceError): MillraceError {
  const how = tls === undefined ? 'in plain text' : 'over TLS';
  return new MillraceError(
    cause.kind,
    cause.reason,
    `no broker answers at ${server} ${how} (${cause.message}); start one with "millrace start", ` +
      'name another with --server, or see docs/tls.md',
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
