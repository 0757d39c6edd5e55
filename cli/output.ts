// Prints results: a table or lines for people, JSON for programs. Nothing is coloured; progress goes to stderr, and
// only to a terminal.
import { once } from 'node:events';

/** Columns aligned by their widest cell; numbers to the right. */
export function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]) {
  const cells = [head, ...rows].map((row) => row.map(String));
  const widths = head.map((_, column) =>
    Math.max(...cells.map((row) => (row[column] ?? '').length)),
  );
  const isNumeric = head.map((_, column) => rows.every((row) => typeof row[column] === 'number'));
  return cells
    .map((row) =>
      row
        .map((cell, column) => {
          const width = widths[column] ?? 0;
          return isNumeric[column] === true ? cell.padStart(width) : cell.padEnd(width);
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** Writes a line to stdout and waits while it is full: a slow reader slows the command down, not its memory up. */
export async function printLine(text: string): Promise<void> {
  if (!process.stdout.write(`${text}\n`)) await once(process.stdout, 'drain');
}

export function printJson(value: unknown): Promise<void> {
  return printLine(JSON.stringify(value));
}

/** Bytes as text when they are UTF-8, else as base64 under another name. */
export function bytesField(name: string, bytes: Uint8Array): Record<string, string> {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const text = buffer.toString('utf8');
  if (Buffer.from(text, 'utf8').equals(buffer)) return { [name]: text };
  return { [`${name}_base64`]: buffer.toString('base64') };
}

export function isoTime(ms: number): string {
  return ms === 0 ? '-' : new Date(ms).toISOString();
}

/** A line on stderr that is written over while work goes on; silent when stderr is no terminal. */
export class Progress {
  private readonly isTerminal = process.stderr.isTTY;
  private lastMs = 0;

  show(text: string): void {
    const nowMs = performance.now();
    if (!this.isTerminal || nowMs - this.lastMs < 200) return;
    this.lastMs = nowMs;
    process.stderr.write(`\r\x1b[K${text}`);
  }

  clear(): void {
    if (this.isTerminal && this.lastMs > 0) process.stderr.write('\r\x1b[K');
  }
}
