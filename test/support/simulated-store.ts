// An object store as a process sees it over a network: answers come some turns later, some are lost, some bytes come
// wrong, and what was on its way when the process died happened or not. Everything random comes from the seed.
import { BrokerError } from '../../broker/core/errors.ts';
import type { Random } from '../../broker/core/random.ts';
import type {
  DeleteOutcome,
  GetOutcome,
  GetRangeOutcome,
  ListedObject,
  ObjectKey,
  ObjectStore,
  ObjectTag,
  PutOutcome,
  SwapOutcome,
} from '../../broker/objects/object-store.ts';
import { MemoryObjectStore } from './memory-object-store.ts';
import { turn } from './simulated-disk.ts';

/** What the network does to one call. */
type Fate = 'well' | 'lost before' | 'lost after' | 'wrong bytes';

const never = new AbortController().signal;

export class SimulatedStore {
  readonly content = new MemoryObjectStore();
  /** Nothing is lost any more. */
  isHealed = false;
  private wasSpoiled = false;
  private readonly random: Random;
  private life = 0;

  constructor(random: Random) {
    this.random = random;
  }

  /** The process is dead: what it does from now on reaches nothing. */
  crash(): void {
    this.life++;
  }

  /** The store for one process. */
  connect(): ObjectStore {
    const { life, content } = this;
    const call = <T>(act: () => Promise<T>, spoil?: (outcome: T) => T): Promise<T> =>
      this.call(life, act, spoil);
    return {
      get: (key: ObjectKey): Promise<GetOutcome> => call(() => content.get(key, never)),
      getRange: (key: ObjectKey, start: number, length: number): Promise<GetRangeOutcome> =>
        call(() => content.getRange(key, start, length, never), spoilBytes),
      putIfAbsent: (key: ObjectKey, bytes: Uint8Array): Promise<PutOutcome> => {
        const copy = Buffer.from(bytes);
        return call(() => content.putIfAbsent(key, copy, never));
      },
      compareAndSwap: (
        key: ObjectKey,
        expected: ObjectTag,
        bytes: Uint8Array,
      ): Promise<SwapOutcome> => call(() => content.compareAndSwap(key, expected, bytes, never)),
      delete: (key: ObjectKey): Promise<DeleteOutcome> => call(() => content.delete(key, never)),
      list: (prefix: string) => this.list(life, prefix),
    };
  }

  private async *list(life: number, prefix: string): AsyncGenerator<ListedObject, void> {
    const all = await this.call(life, async () => {
      const found: ListedObject[] = [];
      for await (const object of this.content.list(prefix, never)) found.push(object);
      return found;
    });
    yield* all;
  }

  private async call<T>(
    life: number,
    act: () => Promise<T>,
    spoil?: (outcome: T) => T,
  ): Promise<T> {
    await this.onTheWay();
    // Sent by a process that is dead: half of what was on its way arrives.
    if (life !== this.life && this.random.next() < 0.5) return new Promise<never>(() => {});
    const fate = this.fate();
    if (fate === 'lost before') throw lost(this.random.next() < 0.5 ? 'none' : 'unknown');
    const outcome = await act();
    await this.onTheWay();
    if (life !== this.life) return new Promise<never>(() => {});
    if (fate === 'lost after') throw lost('unknown');
    return fate === 'wrong bytes' && spoil !== undefined ? spoil(outcome) : outcome;
  }

  private async onTheWay(): Promise<void> {
    const turns = Math.floor(this.random.next() * 3);
    for (let i = 0; i < turns; i++) await turn();
  }

  /** Bytes may still come wrong, but not twice: whoever asks again gets them. */
  private fateWhenHealed(draw: number): Fate {
    this.wasSpoiled = !this.wasSpoiled && draw < 0.3;
    return this.wasSpoiled ? 'wrong bytes' : 'well';
  }

  private fate(): Fate {
    const draw = this.random.next();
    if (this.isHealed) return this.fateWhenHealed(draw);
    if (draw < 0.9) return 'well';
    return draw < 0.94 ? 'lost before' : draw < 0.97 ? 'lost after' : 'wrong bytes';
  }
}

function spoilBytes(outcome: GetRangeOutcome): GetRangeOutcome {
  if (outcome.outcome === 'missing' || outcome.bytes.length === 0) return outcome;
  const bytes = Buffer.from(outcome.bytes);
  const at = bytes.length >> 1;
  bytes[at] = (bytes[at] ?? 0) ^ 0x40;
  return { outcome: 'found', bytes };
}

function lost(effect: 'none' | 'unknown'): BrokerError {
  return new BrokerError('STORE_FAILED', 'the network lost it', { effect });
}
