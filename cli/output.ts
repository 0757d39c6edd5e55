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

const binaryUnits = ['KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;

/** Bytes for people, with one decimal: `512 B`, `1.5 KiB`, `10 GiB`. The exact number is in the JSON. */
export function sizeText(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  let value = bytes / 1024;
  let unit = 0;
  // 1023.95 KiB would print as 1024 KiB.
  for (; value >= 1023.95 && unit < binaryUnits.length - 1; unit++) value /= 1024;
  return `${Number(value.toFixed(1))} ${binaryUnits[unit] ?? ''}`;
}

const timeUnits = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
  ['ms', 1],
] as const;

/** A duration to the millisecond, in the units that the flags take: `7d`, `1h 30m`, `0ms`. */
export function durationText(ms: number): string {
  return timeParts(ms).join(' ') || '0ms';
}

/** How long ago that is, in whole seconds and at most two units: `3h 12m`; `-` for 0, which stands for never. */
export function ageText(sinceMs: number, nowMs: number): string {
  if (sinceMs === 0) return '-';
  // The broker's clock may be ahead of this one.
  const seconds = Math.floor(Math.max(0, nowMs - sinceMs) / 1000);
  return (
    timeParts(seconds * 1000)
      .slice(0, 2)
      .join(' ') || '0s'
  );
}

function timeParts(ms: number): string[] {
  let rest = ms;
  return timeUnits.flatMap(([unit, unitMs]) => {
    const count = Math.floor(rest / unitMs);
    rest -= count * unitMs;
    return count === 0 ? [] : [`${count}${unit}`];
  });
}

const shownBytes = 60;

/** As much as fits a line, without what would disturb a terminal. */
export function shortened(bytes: Buffer): string {
  const text = bytes.subarray(0, shownBytes).toString();
  const clean = text.replaceAll(/\p{Cc}/gu, '.');
  return bytes.length > shownBytes ? `${clean}...` : clean;
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
