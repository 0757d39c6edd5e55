// Chance comes in through this door.
import { randomBytes } from 'node:crypto';

export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** Lower-case hex of so many random bytes; unguessable in production. */
  hex(bytes: number): string;
}

export const systemRandom: Random = {
  next: () => Math.random(),
  hex: (bytes) => randomBytes(bytes).toString('hex'),
};

/** Reproducible stream of numbers (mulberry32, public domain, Tommy Ettinger); for tests and examples. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    next,
    hex(bytes) {
      let text = '';
      for (let i = 0; i < bytes; i++) {
        text += Math.floor(next() * 256)
          .toString(16)
          .padStart(2, '0');
      }
      return text;
    },
  };
}
