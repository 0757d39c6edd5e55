// Proves at start that a store's conditional writes hold: ownership of a shard rests on them, and stores are known that
// ignore the conditions or check them too late.
//
//   create twice → swap with a wrong tag → swap what is not there → swap with the right tag → many creates at once →
//   read and list what was written
//
// Invariant: leaves nothing behind, whatever it finds; what a dead probe left is below `probe/` and hurts nobody.
import { BrokerError } from '../core/errors.ts';
import type { Random } from '../core/random.ts';
import { objectKey, type ObjectKey, type ObjectStore, type ObjectTag } from './object-store.ts';

const racers = 8;
const callMs = 10_000;
/** What a store says to a condition that it does not know; waiting would not help. */
const cannot: ReadonlySet<string> = new Set(['NotImplemented', 'MethodNotAllowed']);

/** Throws STORE_UNSUITABLE with the property that does not hold; STORE_FAILED when the store does not answer. */
export async function probeStore(store: ObjectStore, random: Random): Promise<void> {
  const name = random.hex(12);
  const keys = {
    single: objectKey('probe', name, 'single'),
    missing: objectKey('probe', name, 'missing'),
    race: objectKey('probe', name, 'race'),
  };
  try {
    await probeSingle(store, keys.single);
    await probeMissing(store, keys.missing);
    await probeRace(store, keys.race);
  } catch (error) {
    const code = error instanceof BrokerError ? error.metadata['code'] : undefined;
    if (code === undefined || !cannot.has(code)) throw error;
    throw unsuitable(`it refuses a conditional write with ${code}`, error);
  } finally {
    // All at once: a store that hangs would hold up the answer with each of them.
    const deletes = Object.values(keys).map((key) => store.delete(key, within()));
    await Promise.allSettled(deletes);
  }
}

async function probeSingle(store: ObjectStore, key: ObjectKey): Promise<void> {
  const [first, second, third] = ['first', 'second', 'third'].map((text) => Buffer.from(text));
  if (first === undefined || second === undefined || third === undefined) return;
  const created = await store.putIfAbsent(key, first, within());
  if (created.outcome !== 'written') throw unsuitable('a new key is taken for an old one');
  if ((await store.putIfAbsent(key, second, within())).outcome !== 'exists') {
    throw unsuitable('a second create of the same key succeeds (If-None-Match is ignored)');
  }
  await expectContent(store, key, first);
  const wrong = 'd41d8cd98f00b204e9800998ecf8427e' as ObjectTag;
  if ((await store.compareAndSwap(key, wrong, second, within())).outcome !== 'mismatch') {
    throw unsuitable('a swap with a wrong tag succeeds (If-Match is ignored)');
  }
  await expectContent(store, key, first);
  const swapped = await store.compareAndSwap(key, created.tag, third, within());
  if (swapped.outcome !== 'swapped') throw unsuitable('a swap with the right tag is refused');
  if ((await store.compareAndSwap(key, created.tag, second, within())).outcome !== 'mismatch') {
    throw unsuitable('a swap with an old tag succeeds');
  }
  await expectContent(store, key, third);
  for await (const listed of store.list(key, within())) if (listed.key === key) return;
  throw unsuitable('a list does not show what was just written');
}

async function probeMissing(store: ObjectStore, key: ObjectKey): Promise<void> {
  const tag = 'd41d8cd98f00b204e9800998ecf8427e' as ObjectTag;
  const outcome = await store.compareAndSwap(key, tag, Buffer.from('x'), within());
  if (outcome.outcome === 'swapped') throw unsuitable('a swap creates a key that is not there');
}

async function probeRace(store: ObjectStore, key: ObjectKey): Promise<void> {
  const bodies = Array.from({ length: racers }, (_, i) => Buffer.from(`racer ${i}`));
  const outcomes = await Promise.all(
    bodies.map((body) =>
      // A store may answer a concurrent write with a refusal of its own (409): that one has lost.
      store.putIfAbsent(key, body, within()).catch((error: unknown) => lostRace(error)),
    ),
  );
  const winners = bodies.filter((_, i) => outcomes[i]?.outcome === 'written');
  const [winner] = winners;
  if (winner === undefined || winners.length > 1) {
    throw unsuitable(`${winners.length} of ${racers} concurrent creates of one key succeed`);
  }
  await expectContent(store, key, winner);
}

function lostRace(error: unknown): { readonly outcome: 'exists' } {
  if (error instanceof BrokerError && error.effect === 'none') return { outcome: 'exists' };
  throw error;
}

async function expectContent(store: ObjectStore, key: ObjectKey, bytes: Buffer): Promise<void> {
  const got = await store.get(key, within());
  if (got.outcome === 'found' && got.bytes.equals(bytes)) return;
  throw unsuitable('a read does not answer what was just written');
}

function within(): AbortSignal {
  return AbortSignal.timeout(callMs);
}

function unsuitable(what: string, cause?: unknown): BrokerError {
  return new BrokerError(
    'STORE_UNSUITABLE',
    `the object store does not keep its conditional writes: ${what}; use a store that does, such as S3 or MinIO, or a ` +
      'directory',
    { metadata: { property: what }, cause },
  );
}
