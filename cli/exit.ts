// From an error to one line on stderr and an exit code that a script can tell apart.
import { MillraceError } from '../client/src/index.ts';

/** By meaning; 0 is success. The kinds are those of docs/errors.md. */
export const exitCodes = {
  internal: 1,
  usage: 2,
  missing: 3,
  conflict: 4,
  exhausted: 5,
  unavailable: 6,
  denied: 7,
  corrupt: 8,
} as const;

/** A mistake in the command line that commander cannot see. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

interface KindedError {
  readonly kind: string;
  readonly reason: string;
  readonly message: string;
}

/** Prints the error and sets the exit code; streams that still drain are left alone. */
export function exitWith(error: unknown): void {
  if (error instanceof UsageError) {
    process.stderr.write(`millrace: ${error.message}\n`);
    process.exitCode = exitCodes.usage;
    return;
  }
  if (isKinded(error)) {
    process.stderr.write(`millrace: ${error.message} [${error.reason}]\n`);
    process.exitCode = codeOfKind(error.kind);
    return;
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`millrace: ${text}\n`);
  process.exitCode = exitCodes.internal;
}

function isKinded(error: unknown): error is KindedError {
  return (
    error instanceof MillraceError ||
    (error instanceof Error && 'kind' in error && 'reason' in error)
  );
}

function codeOfKind(kind: string): number {
  if (kind === 'invalid') return exitCodes.usage;
  return kind in exitCodes ? exitCodes[kind as keyof typeof exitCodes] : exitCodes.internal;
}
