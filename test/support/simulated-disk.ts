// A journal's disk that can lose power: writes settle some turns later, and a crash decides for each one that has not
// whether it reached the disk. Whole writes only: LMDB's transactions are atomic.
import type { Random } from '../../broker/core/random.ts';
import { decodeKeyNumber } from '../../broker/journal/format.ts';
import type { GenerationFile, JournalStorage, Row } from '../../broker/journal/storage.ts';

interface PendingWrite {
  apply(): void;
}

type Rows = Map<string, Buffer>;

export class SimulatedDisk {
  private readonly random: Random;
  private readonly files = new Map<string, Rows>();
  private list: Buffer | undefined;
  private pending = new Set<PendingWrite>();
  /** Rises with each crash: what belongs to an older power-up never settles. */
  private power = 0;

  constructor(random: Random) {
    this.random = random;
  }

  /** Power is lost: each write that has not settled reached the disk, or not. */
  crash(): void {
    for (const write of this.pending) if (this.random.next() < 0.5) write.apply();
    this.pending = new Set();
    this.power++;
  }

  /** For one process: what it still does after a crash reaches nothing. */
  storage(): JournalStorage {
    const { power } = this;
    const settle = (apply: () => unknown): Promise<void> => this.settle(power, apply);
    return {
      create: async (name) => {
        await settle(() => this.files.set(name, new Map()));
        return this.file(name, settle);
      },
      open: async (name) => {
        if (!this.files.has(name)) throw new Error(`no file ${name}`);
        return this.file(name, settle);
      },
      remove: (name) => settle(() => this.files.delete(name)),
      existing: async () => [...this.files.keys()],
      readList: async () => this.list,
      writeList: (bytes) => {
        const copy = Buffer.from(bytes);
        return settle(() => (this.list = copy));
      },
    };
  }

  private file(name: string, settle: (apply: () => unknown) => Promise<void>): GenerationFile {
    const rowsOf = (): Rows => this.files.get(name) ?? new Map<string, Buffer>();
    return {
      name,
      write: (rows: readonly Row[]) => {
        const copies = rows.map(
          ({ key, value }) => [key.toString('hex'), Buffer.from(value)] as const,
        );
        return settle(() => {
          for (const [key, value] of copies) this.files.get(name)?.set(key, value);
        });
      },
      read: (key) => {
        const value = rowsOf().get(key.toString('hex'));
        return value === undefined ? undefined : Buffer.from(value);
      },
      prefetch: () => settle(() => {}),
      numbers: (kind) =>
        [...rowsOf().keys()]
          .map((key) => Buffer.from(key, 'hex'))
          .filter((key) => key[0] === kind)
          .map(decodeKeyNumber)
          .sort((a, b) => a - b),
      bytes: () => [...rowsOf().values()].reduce((sum, value) => sum + value.length, 0),
      close: async () => {},
    };
  }

  /** Resolves some turns later, after `apply`; never, when the power was lost meanwhile. */
  private async settle(power: number, apply: () => unknown): Promise<void> {
    if (power !== this.power) await new Promise<never>(() => {});
    const write = { apply };
    this.pending.add(write);
    const turns = 1 + Math.floor(this.random.next() * 4);
    for (let i = 0; i < turns; i++) await turn();
    if (power !== this.power) await new Promise<never>(() => {});
    this.pending.delete(write);
    apply();
  }
}

/** One turn of the real event loop; simulated time stands still meanwhile. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
