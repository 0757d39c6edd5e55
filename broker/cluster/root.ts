// The root of a shard: the one mutable object that says who owns it. Every start swaps it to the next epoch.
//
// Invariants:
// - The epoch of a shard only rises, and each is given to one claim.
// - Every claim writes a nonce of its own, so that after an unclear answer a read-back says whose root it is; a repeat
//   sends the same nonce, so that a swap that arrives late is still ours.
// - A shard whose hot state lives on a volume is claimed from that volume only.
import { assert } from '../core/assert.ts';
import { BrokerError } from '../core/errors.ts';
import { epoch, type Epoch } from '../core/ids.ts';
import { quoted } from '../core/quoted.ts';
import type { Random } from '../core/random.ts';
import {
  objectKey,
  type ObjectKey,
  type ObjectStore,
  type ObjectTag,
} from '../objects/object-store.ts';
import type { CheckpointPointer } from '../shard/checkpoint-object.ts';
import type { Volume } from './volume.ts';

export interface Root {
  readonly shard: string;
  readonly epoch: Epoch;
  /** Broker that owns the shard in this epoch. */
  readonly owner: string;
  readonly clusterId: string;
  /** Where the shard's journal is. */
  readonly volumeId: string;
  readonly nonce: string;
  /** The newest complete checkpoint in the store; undefined before the first. */
  readonly checkpoint: CheckpointPointer | undefined;
}

export interface RootClaim {
  /** Who claims. */
  readonly owner: string;
  readonly volume: Volume;
  readonly random: Random;
  /** Newest epoch in the shard's journal on this volume; 0 or undefined when it has none. */
  readonly epochSeen?: number | undefined;
  /** The caller has given up. */
  readonly signal: AbortSignal;
  /** Deadline of one call to the store. Default 10 s. */
  readonly callMs?: number | undefined;
}

const format = 1;
const callMsDefault = 10_000;
/** Writes of one claim. More than one is needed only after an unclear answer or a race with another claim. */
const writesMax = 5;
const epochMax = 2 ** 32 - 1;

/**
 * Takes the shard over for the next epoch.
 * Throws VOLUME_FOREIGN, DATA_LOSS, STORE_FAILED (then claim again: a lost epoch does no harm).
 */
export async function claimRoot(
  store: ObjectStore,
  shard: string,
  claim: RootClaim,
): Promise<Root> {
  const key = rootKey(shard);
  const nonce = claim.random.hex(16);
  const deadline = (): AbortSignal =>
    AbortSignal.any([claim.signal, AbortSignal.timeout(claim.callMs ?? callMsDefault)]);
  let unclear: BrokerError | undefined;
  for (let writes = 0; ; writes++) {
    const present = await readRoot(store, key, deadline());
    if (present?.root.nonce === nonce) return present.root;
    checkClaim(shard, present?.root, claim);
    if (writes === writesMax) throw notClaimed(shard, unclear);
    const root = nextRoot(shard, present?.root, claim, nonce);
    try {
      if (await writeRoot(store, key, present?.tag, root, deadline())) return root;
    } catch (thrown) {
      if (!(thrown instanceof BrokerError) || thrown.effect === 'none') throw thrown;
      unclear = thrown;
    }
  }
}

/** Who publishes a checkpoint. */
export interface RootOwner {
  readonly epoch: number;
  readonly random: Random;
  /** The caller has given up. */
  readonly signal: AbortSignal;
  readonly callMs?: number | undefined;
}

/**
 * Has the root name the checkpoint. Throws STORE_FAILED; SHARD_TAKEN_OVER when the epoch is no longer the owner's.
 */
export async function publishCheckpoint(
  store: ObjectStore,
  shard: string,
  { epoch: ours, random, signal, callMs = callMsDefault }: RootOwner,
  checkpoint: CheckpointPointer,
): Promise<void> {
  const key = rootKey(shard);
  const deadline = (): AbortSignal => AbortSignal.any([signal, AbortSignal.timeout(callMs)]);
  for (let writes = 0; ; writes++) {
    const present = await readRoot(store, key, deadline());
    if (present === undefined) throw damaged(key, 'is missing');
    if (present.root.epoch !== ours) throw takenOver(shard, present.root, ours);
    if (present.root.checkpoint?.number === checkpoint.number && isOf(present.root, ours)) return;
    if (writes === writesMax) throw notClaimed(shard, undefined);
    const root = { ...present.root, nonce: random.hex(16), checkpoint };
    try {
      if (await writeRoot(store, key, present.tag, root, deadline())) return;
    } catch (thrown) {
      if (!(thrown instanceof BrokerError) || thrown.effect === 'none') throw thrown;
    }
  }
}

/** Root of a shard as it is in the store; undefined when there is none. Throws STORE_FAILED, DATA_LOSS. */
export async function lookAtRoot(store: ObjectStore, shard: string): Promise<Root | undefined> {
  return (await readRoot(store, rootKey(shard), AbortSignal.timeout(callMsDefault)))?.root;
}

/**
 * Makes the shard another volume's: whoever owned it stops when it next writes the root. Answers the root that it is
 * now. Throws STORE_FAILED; SHARD_TAKEN_OVER when the root is no longer the one that was looked at.
 */
export async function moveRoot(
  store: ObjectStore,
  seen: Root,
  to: { readonly owner: string; readonly volume: Volume; readonly random: Random },
): Promise<Root> {
  const { owner, volume, random } = to;
  const key = rootKey(seen.shard);
  const present = await readRoot(store, key, AbortSignal.timeout(callMsDefault));
  if (present?.root.nonce !== seen.nonce) throw movedOn(seen.shard);
  const claim = { owner, volume, random, signal: AbortSignal.timeout(callMsDefault) };
  const root = nextRoot(seen.shard, present.root, claim, random.hex(16));
  try {
    const deadline = AbortSignal.timeout(callMsDefault);
    if (await writeRoot(store, key, present.tag, root, deadline)) return root;
  } catch (thrown) {
    if (!(thrown instanceof BrokerError) || thrown.effect === 'none') throw thrown;
    const now = await readRoot(store, key, AbortSignal.timeout(callMsDefault));
    if (now?.root.nonce === root.nonce) return root;
    throw thrown;
  }
  throw movedOn(seen.shard);
}

function movedOn(shard: string): BrokerError {
  return new BrokerError(
    'SHARD_TAKEN_OVER',
    `the root of shard ${shard} has changed meanwhile: a broker is still running on this object store; stop it first`,
    { metadata: { shard } },
  );
}

/** Whether the root's checkpoint was made in the epoch. */
function isOf(root: Root, ofEpoch: number): boolean {
  return root.checkpoint?.epoch === ofEpoch;
}

function takenOver(shard: string, root: Root, ours: number): BrokerError {
  return new BrokerError(
    'SHARD_TAKEN_OVER',
    `shard ${shard} is owned by ${quoted(root.owner)} in epoch ${root.epoch}, this broker had epoch ${ours}; it stops: ` +
      'start only one broker per object store',
    { metadata: { shard, owner: root.owner, epoch: String(root.epoch) } },
  );
}

function rootKey(shard: string): ObjectKey {
  return objectKey('shards', shard, 'root.json');
}

function nextRoot(
  shard: string,
  present: Root | undefined,
  { owner, volume }: RootClaim,
  nonce: string,
): Root {
  const next = (present?.epoch ?? 0) + 1;
  assert(next <= epochMax, `epoch ${next} of shard ${shard} fits 32 bits`);
  return {
    shard,
    epoch: epoch(next),
    owner,
    clusterId: volume.clusterId,
    volumeId: volume.volumeId,
    nonce,
    checkpoint: present?.checkpoint,
  };
}

function checkClaim(
  shard: string,
  present: Root | undefined,
  { volume, epochSeen = 0 }: RootClaim,
): void {
  if (present !== undefined && present.shard !== shard) {
    throw damaged(rootKey(shard), `is the root of shard ${quoted(present.shard)}`);
  }
  if (present !== undefined && present.clusterId !== volume.clusterId) {
    throw foreign(shard, 'installation', present.clusterId, volume.clusterId);
  }
  if (present !== undefined && present.volumeId !== volume.volumeId) {
    throw foreign(shard, 'volume', present.volumeId, volume.volumeId);
  }
  const rootEpoch = present?.epoch ?? 0;
  if (rootEpoch < epochSeen) {
    const state = present === undefined ? 'is missing' : `is at epoch ${rootEpoch}`;
    throw damaged(rootKey(shard), `${state}, but the shard's journal has epoch ${epochSeen}`);
  }
}

/** False: it has changed since it was read. */
async function writeRoot(
  store: ObjectStore,
  key: ObjectKey,
  tag: ObjectTag | undefined,
  root: Root,
  signal: AbortSignal,
): Promise<boolean> {
  const bytes = Buffer.from(JSON.stringify({ format, ...root }));
  if (tag === undefined) {
    return (await store.putIfAbsent(key, bytes, signal)).outcome === 'written';
  }
  return (await store.compareAndSwap(key, tag, bytes, signal)).outcome === 'swapped';
}

async function readRoot(
  store: ObjectStore,
  key: ObjectKey,
  signal: AbortSignal,
): Promise<{ readonly root: Root; readonly tag: ObjectTag } | undefined> {
  const got = await store.get(key, signal);
  if (got.outcome === 'missing') return undefined;
  return { root: parseRoot(key, got.bytes), tag: got.tag };
}

function parseRoot(key: ObjectKey, bytes: Buffer): Root {
  let fields: Readonly<Record<string, unknown>>;
  try {
    const parsed: unknown = JSON.parse(bytes.toString());
    fields = typeof parsed === 'object' && parsed !== null ? { ...parsed } : {};
  } catch {
    throw damaged(key, 'is not JSON');
  }
  if (fields['format'] !== format) {
    throw damaged(key, `has format ${quoted(String(fields['format']))}, not ${format}`);
  }
  const text = (name: string): string => {
    const value = fields[name];
    if (typeof value !== 'string' || value === '') throw damaged(key, `has no ${name}`);
    return value;
  };
  const number = fields['epoch'];
  if (typeof number !== 'number' || !Number.isInteger(number) || number < 1 || number > epochMax) {
    throw damaged(key, 'has no epoch');
  }
  return {
    shard: text('shard'),
    epoch: epoch(number),
    owner: text('owner'),
    clusterId: text('clusterId'),
    volumeId: text('volumeId'),
    nonce: text('nonce'),
    checkpoint: parseCheckpoint(key, fields['checkpoint']),
  };
}

function parseCheckpoint(key: ObjectKey, value: unknown): CheckpointPointer | undefined {
  if (value === undefined) return undefined;
  const fields = typeof value === 'object' && value !== null ? { ...value } : {};
  const number = (name: string): number => {
    const found: unknown = Object.entries(fields).find(([field]) => field === name)?.[1];
    if (typeof found !== 'number' || !Number.isSafeInteger(found) || found < 0) {
      throw damaged(key, `names a checkpoint without ${name}`);
    }
    return found;
  };
  return {
    epoch: number('epoch'),
    number: number('number'),
    parts: number('parts'),
    atMs: number('atMs'),
  };
}

function foreign(shard: string, what: string, theirs: string, ours: string): BrokerError {
  return new BrokerError(
    'VOLUME_FOREIGN',
    `shard ${shard} belongs to ${what} ${quoted(theirs)}, but the data directory is of ${what} ` +
      `${quoted(ours)}; start with the data directory that belongs to this object store`,
    { metadata: { shard, expected: theirs, found: ours } },
  );
}

function damaged(key: ObjectKey, fault: string): BrokerError {
  return new BrokerError(
    'DATA_LOSS',
    `root object ${key} ${fault}; restore it from a backup, or start the version that wrote it`,
    { metadata: { key } },
  );
}

function notClaimed(shard: string, cause: BrokerError | undefined): BrokerError {
  const why = cause === undefined ? 'other brokers keep claiming it' : cause.message;
  return new BrokerError('STORE_FAILED', `shard ${shard} could not be claimed: ${why}; retry`, {
    effect: 'unknown',
    cause,
  });
}
