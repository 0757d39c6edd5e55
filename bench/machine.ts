// What the figures were measured on.
import { cpus, totalmem } from 'node:os';

export function machine(): string {
  const processors = cpus();
  const memoryGiB = Math.round(totalmem() / 1024 ** 3);
  return `${processors.length} x ${processors[0]?.model ?? 'unknown'}, ${memoryGiB} GiB, Node ${process.version}`;
}

/** For a reader of figures: where they were taken, and what a confirmation means. */
export function conditions(): string {
  return `Machine: ${machine()}. Durability: fsync before every confirmation.`;
}
