// Durations and sizes as objects say them (`168h`, `1h30m`, `10Gi`, `4096`), in ms and bytes, and rounded for status.
//
// Invariant: what the schema of the custom resources lets through is read; anything else is a bug of the schema.

const unitsMs: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1 };
const unitNames = ['', 'Ki', 'Mi', 'Gi', 'Ti'] as const;

export function durationMs(text: string): number {
  let totalMs = 0;
  for (const [, amount = '', unit = ''] of text.matchAll(/(\d+)(ms|h|m|s)/g)) {
    totalMs += Number(amount) * (unitsMs[unit] ?? NaN);
  }
  if (!/^(\d+(ms|h|m|s))+$/.test(text)) throw new Error(`duration is ${text}`);
  return totalMs;
}

export function sizeBytes(size: string | number): number {
  if (typeof size === 'number') return size;
  const [, amount = '', unit = ''] = /^(\d+)(Ki|Mi|Gi|Ti)?$/.exec(size) ?? [];
  if (amount === '') throw new Error(`size is ${size}`);
  return Number(amount) * 1024 ** unitNames.indexOf(unit as (typeof unitNames)[number]);
}

/** 1, 2 or 5 with zeros, nearest below: what idles or hardly moves is told the same way for long. */
export function coarseCount(count: number): string {
  return String(coarse(count));
}

/** As coarseCount, with a unit. */
export function coarseSize(bytes: number): string {
  const power = bytes < 1 ? 0 : Math.min(4, Math.floor(Math.log2(bytes) / 10));
  return `${coarse(bytes / 1024 ** power)}${unitNames[power] ?? ''}`;
}

/** Whether the figure has moved so far from what was told that it is worth a write. */
export function isFar(told: number, now: number): boolean {
  if (told === 0 || now === 0) return told !== now;
  return now < told / 2 || now > told * 4;
}

function coarse(value: number): number {
  if (value < 1) return 0;
  const digit = 10 ** Math.floor(Math.log10(value));
  const lead = value / digit;
  return (lead >= 5 ? 5 : lead >= 2 ? 2 : 1) * digit;
}
