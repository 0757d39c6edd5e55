// Attempts, their limit, back-off, and what becomes of a record after its last one.
import type { SubscriptionKind } from '../../../broker/subscription/subscription.ts';
import { FactBook } from './fact-book.ts';
import type { Delivered, Event, FinalState, Said } from './history.ts';
import { InForce } from './in-force.ts';

/** By subscription and offset. */
function keyOf({ to, offset }: { readonly to: SubscriptionKind; readonly offset: number }): string {
  return `${to} ${offset}`;
}

/** What was said, to tell it from what was said of another delivery. */
function wordOf({ verb, lease }: Said): string {
  return `${verb} ${lease}`;
}

function isQueueDelivery(event: Event): event is Delivered {
  return event.kind === 'delivered' && event.to !== 'stream';
}

interface Attempts {
  least: number;
  most: number;
  /** After a seek that is not durable: what a crash may bring back. */
  unsure: number;
  /** A client has it, by the count of this process. */
  out: number;
}

/** Attempts rise by one; a crash costs one at most; a return costs none; a seek begins anew. */
export function attemptsHold(history: readonly Event[]): string[] {
  const records = new Map<string, Attempts>();
  const faults: string[] = [];
  for (const event of history) {
    if (event.kind === 'crashed') {
      for (const record of records.values()) {
        // What was told is that the attempts before it are durable.
        record.most = Math.max(record.most, record.unsure);
        if (record.out > 0 && record.unsure === 0) record.least = record.out;
        if (record.unsure > 0) record.least = 1;
      }
    } else if (event.kind === 'sought') {
      for (const [key, record] of records) {
        if (!key.startsWith(`${event.to} `)) continue;
        if (event.isDurable) record.unsure = 0;
        else {
          const unsure = Math.max(record.most, record.unsure);
          records.set(key, { least: 1, most: 1, unsure, out: 0 });
        }
      }
    } else if (event.kind === 'said' && event.verb === 'return' && !event.isDurable) {
      const record = records.get(keyOf(event));
      if (record?.out === event.attempt)
        Object.assign(record, { least: record.out, most: record.out });
    } else if (isQueueDelivery(event)) {
      const { attempt } = event;
      const record = records.get(keyOf(event)) ?? { least: 1, most: 1, unsure: 0, out: 0 };
      if (attempt < record.least || attempt > record.most) {
        faults.push(`${keyOf(event)}: attempt ${attempt}, not ${record.least} to ${record.most}`);
      }
      const { unsure } = record;
      records.set(keyOf(event), { least: attempt + 1, most: attempt + 1, unsure, out: attempt });
    }
  }
  return faults;
}

/** What may fail for the last time takes no neighbour along. */
export function lastAttemptTravelsAlone(history: readonly Event[]): string[] {
  const inForce = new InForce();
  return history.flatMap((event) => {
    inForce.see(event);
    if (!isQueueDelivery(event) || !inForce.isLast(event) || event.runLength === 1) return [];
    return [`${keyOf(event)}: attempt ${event.attempt} with ${event.runLength - 1} others`];
  });
}

/** A record that was rejected, or failed for the last time, is not delivered again, whatever its letter does. */
export function deadStaysDead(history: readonly Event[]): string[] {
  const inForce = new InForce();
  const dead = new Map<string, { readonly by: string; readonly isDurable: boolean }>();
  /** Their letters may be of an earlier death. */
  const moved = new Set<SubscriptionKind>();
  const faults: string[] = [];
  for (const event of history) {
    inForce.see(event);
    if (event.kind === 'crashed') {
      for (const [key, { isDurable }] of dead) if (!isDurable) dead.delete(key);
    } else if (event.kind === 'sought') {
      moved.add(event.to);
      for (const key of dead.keys()) if (key.startsWith(`${event.to} `)) dead.delete(key);
    } else if (event.kind === 'letter') {
      // It was told of before, or nobody had to be told: its time to live was over, or its process died first.
      const known = dead.get(keyOf(event));
      if (known !== undefined && !moved.has(event.to)) {
        dead.set(keyOf(event), { ...known, isDurable: true });
      }
    } else if (event.kind === 'said' && event.isDurable) {
      const by = wordOf(event);
      if (dead.get(keyOf(event))?.by === by) dead.set(keyOf(event), { by, isDurable: true });
    } else if (inForce.kills(event)) {
      dead.set(keyOf(event), { by: wordOf(event), isDurable: false });
    } else if (isQueueDelivery(event) && dead.has(keyOf(event))) {
      faults.push(`${keyOf(event)} was delivered although it is dead`);
    }
  }
  return faults;
}

/** Every death that counts is one letter, no letter comes without a death, and it says what happened. */
export function lettersTellTheTruth(history: readonly Event[], final: FinalState): string[] {
  const book = new FactBook();
  const inForce = new InForce();
  /** Attempts and reasons with which it may have died. */
  const deaths = new Map<string, Set<string>>();
  /** To come, as the client was told; to come whatever happens. */
  const promised = new Map<string, string>();
  const owed = new Set<string>();
  const seeks = new Map<SubscriptionKind, number>();
  for (const event of history) {
    book.see(event);
    inForce.see(event);
    const noLongerOwed = (to: SubscriptionKind): void => {
      for (const keys of [promised, owed]) {
        for (const key of keys.keys()) if (key.startsWith(`${to} `)) keys.delete(key);
      }
    };
    if (event.kind === 'settings' && !event.settings.hasDeadLetterTopic) noLongerOwed(event.to);
    if (event.kind === 'sought' && !event.isDurable) {
      seeks.set(event.to, (seeks.get(event.to) ?? 0) + 1);
    }
    if (event.kind === 'crashed') promised.clear();
    if (event.kind !== 'said') continue;
    const isPromised = promised.get(keyOf(event)) === wordOf(event);
    if (event.isDurable && isPromised) owed.add(keyOf(event));
    if (event.isDurable || !inForce.kills(event)) continue;
    if (inForce.hasTopic(event.to)) promised.set(keyOf(event), wordOf(event));
    const reason = event.verb === 'reject' ? 'rejected' : 'attempts_exhausted';
    const known = deaths.get(keyOf(event)) ?? new Set();
    deaths.set(keyOf(event), known.add(`${reason} ${event.attempt}`));
  }
  const faults: string[] = [];
  const counts = new Map<string, number>();
  for (const letter of final.letters) {
    const key = keyOf(letter);
    counts.set(key, (counts.get(key) ?? 0) + 1);
    const hasExpired = (book.of(letter.offset)?.expiresAtMs ?? Infinity) <= book.latestMs;
    if (letter.reason === 'expired' ? !hasExpired : !isTold(deaths.get(key), letter)) {
      faults.push(`${key}: a letter says ${letter.reason} after ${letter.attempts}`);
    }
  }
  for (const [key, count] of counts) {
    const most = 1 + (seeks.get(key.split(' ')[0] as SubscriptionKind) ?? 0);
    if (count > most) faults.push(`${key}: ${count} letters`);
  }
  for (const key of owed) {
    // When a seek or an ack makes the record an acked one, retention may be faster than its letter.
    const isGone = Number(key.split(' ')[1]) < final.startOffset;
    if (!counts.has(key) && !isGone) faults.push(`${key}: its letter never came`);
  }
  return faults;
}

function isTold(
  deaths: ReadonlySet<string> | undefined,
  { reason, attempts }: { readonly reason: string; readonly attempts: number },
): boolean {
  return deaths?.has(`${reason} ${attempts}`) === true;
}

/** A nack with a delay is kept, across restarts too; a clock that is set meanwhile excuses. */
export function backoffHolds(history: readonly Event[]): string[] {
  const waiting = new Map<string, Said>();
  const faults: string[] = [];
  for (const event of history) {
    if (event.kind === 'time' && event.isStep) waiting.clear();
    if (event.kind === 'sought') waiting.clear();
    if (event.kind === 'said' && !event.isDurable) {
      waiting.delete(keyOf(event));
      if (event.notBeforeMs > 0) waiting.set(keyOf(event), event);
    }
    if (!isQueueDelivery(event)) continue;
    const said = waiting.get(keyOf(event));
    // A lower attempt: a crash has forgotten the nack.
    if (said === undefined || event.attempt <= said.attempt) continue;
    const early = said.notBeforeMs - event.monoMs;
    if (early > 0) faults.push(`${keyOf(event)} came ${early} ms before its back-off was over`);
    waiting.delete(keyOf(event));
  }
  return faults;
}

/** What is said of a delivery from before a seek means nothing. */
export function seeksVoidLeases(history: readonly Event[]): string[] {
  const given = new Map<SubscriptionKind, Set<number>>();
  const lost = new Set<string>();
  return history.flatMap((event) => {
    if (isQueueDelivery(event)) {
      given.set(event.to, (given.get(event.to) ?? new Set()).add(event.lease));
    } else if (event.kind === 'sought' && !event.isDurable) {
      for (const lease of given.get(event.to) ?? []) lost.add(`${event.to} ${lease}`);
    } else if (event.kind === 'crashed') {
      given.clear();
      lost.clear();
    } else if (event.kind === 'said' && !event.isDurable && event.verb !== 'lost') {
      if (lost.has(`${event.to} ${event.lease}`)) {
        return [`${keyOf(event)}: ${event.verb} by a lease from before a seek`];
      }
    }
    return [];
  });
}

/** A letter whose arrival is durable is not sent again. */
export function arrivalsAreKept(history: readonly Event[]): string[] {
  const arrived = new Set<string>();
  return history.flatMap((event) => {
    if (event.kind !== 'letter') return [];
    const letter = `${event.to}, letter ${event.number}`;
    if (event.isDurable) arrived.add(letter);
    else if (arrived.has(letter)) return [`${letter} was sent again`];
    return [];
  });
}
