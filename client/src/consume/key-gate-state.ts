// Which records of a queue may be worked on when only so many of one key may be at a time. Pure.
//
// Invariants:
// - Of a key no more than `perKeyMax` have entered and not left.
// - Records of a key enter in the order in which they came.
// - A record without a key never waits.
// - What is remembered is what has entered or waits: a consumer's prefetch bounds it.
import { Fifo } from '../fifo.ts';

interface Gate<M extends object> {
  entered: number;
  readonly waiting: Fifo<M>;
}

export class KeyGateState<M extends { readonly key: Buffer }> {
  private readonly perKeyMax: number;
  private readonly gates = new Map<string, Gate<M>>();

  constructor(perKeyMax: number) {
    this.perKeyMax = perKeyMax;
  }

  /** True: it may begin. False: `leave` will give it out. */
  enter(message: M): boolean {
    if (message.key.length === 0) return true;
    const key = textOf(message);
    let gate = this.gates.get(key);
    if (gate === undefined) this.gates.set(key, (gate = { entered: 0, waiting: new Fifo() }));
    if (gate.entered < this.perKeyMax) {
      gate.entered++;
      return true;
    }
    gate.waiting.push(message);
    return false;
  }

  /** One that had entered is done with: the one that enters instead. */
  leave(message: M): M | undefined {
    const key = textOf(message);
    const gate = this.gates.get(key);
    if (gate === undefined) return undefined;
    const next = gate.waiting.shift();
    if (next !== undefined) return next;
    gate.entered--;
    if (gate.entered === 0) this.gates.delete(key);
    return undefined;
  }

  /** Nobody waits any more; answers who did. */
  clear(): M[] {
    const waited: M[] = [];
    for (const { waiting } of this.gates.values()) {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        waited.push(next);
      }
    }
    return waited;
  }
}

/** Any bytes, one character each. */
function textOf({ key }: { readonly key: Buffer }): string {
  return key.toString('latin1');
}
