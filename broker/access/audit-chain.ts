// Lines of the audit log: JSON, each with the SHA-256 of the line before it, so that nobody takes one out or changes it
// unseen. Whoever can write the file can still write all of it anew: ship lines elsewhere to notice that.
import { createHash } from 'node:crypto';

/** What the first line of all names as the one before it. */
export const chainStart = '0'.repeat(64);

export interface AuditEntry {
  /** ISO 8601. */
  readonly time: string;
  readonly principal: string;
  /** host:port. */
  readonly address: string;
  /** `Service/Method`; empty for lines about the log itself. */
  readonly rpc: string;
  readonly scope: string;
  /** `ok`, or the reason of the failure. */
  readonly outcome: string;
  /** To whom, and what, when that is not in the scope. */
  readonly detail?: string;
  /** Denials that this line stands for, since `since`; lines that were lost. */
  readonly count?: number;
  readonly since?: string;
}

export function chainedLine(entry: AuditEntry, previous: string): string {
  return JSON.stringify({ ...entry, previous });
}

export function hashOfLine(line: string): string {
  return createHash('sha256').update(line).digest('hex');
}

export interface ChainCheck {
  readonly lines: number;
  /** Of the last line; what the next file must begin with. */
  readonly last: string;
  /** Undefined: every line follows the one before it. */
  readonly brokenAtLine: number | undefined;
}

/** `previous`: of the file before; undefined: whatever the first line says. */
export function checkChain(lines: readonly string[], previous: string | undefined): ChainCheck {
  let expected = previous;
  for (const [index, line] of lines.entries()) {
    const said = previousOf(line);
    if (said === undefined || (expected !== undefined && said !== expected)) {
      return { lines: index, last: expected ?? chainStart, brokenAtLine: index + 1 };
    }
    expected = hashOfLine(line);
  }
  return { lines: lines.length, last: expected ?? chainStart, brokenAtLine: undefined };
}

function previousOf(line: string): string | undefined {
  try {
    const parsed = JSON.parse(line) as { readonly previous?: unknown } | null;
    return typeof parsed?.previous === 'string' ? parsed.previous : undefined;
  } catch {
    return undefined;
  }
}
