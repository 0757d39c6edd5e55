// What may be handed out, what may not any more, and that in the end nothing was forgotten.
import type { SubscriptionKind } from '../../../broker/subscription/subscription.ts';
import { FactBook } from './fact-book.ts';
import type { Event, FinalState } from './history.ts';
import { InForce } from './in-force.ts';

/** What is handed out, kept and sent on is what was published. */
export function valuesHold(history: readonly Event[], final: FinalState): string[] {
  const book = new FactBook();
  const faults: string[] = [];
  for (const event of history) {
    book.see(event);
    if (event.kind !== 'delivered') continue;
    const value = book.of(event.offset)?.value;
    if (value !== event.value) faults.push(`${event.offset} "${value}" came as "${event.value}"`);
  }
  for (const { offset, value } of [...final.records, ...final.letters]) {
    const published = book.of(offset)?.value;
    if (published !== value) faults.push(`${offset} "${published}" is "${value}" in the end`);
  }
  const stored = new Set(final.records.map(({ offset }) => offset));
  for (const offset of book.facts.keys()) {
    if (offset >= final.startOffset && !stored.has(offset)) faults.push(`${offset} is lost`);
  }
  return faults;
}

interface Settled {
  /** Done as this process knows it; done as every later one must know it. */
  readonly now: Set<number>;
  readonly durable: Set<number>;
  /** Everything below is done by a seek. */
  below: number;
  durablyBelow: number;
}

/** What was acked, dropped or skipped by a seek does not come back, unless a seek goes behind it. */
export function ackedStaysAcked(history: readonly Event[]): string[] {
  const byQueue = new Map<SubscriptionKind, Settled>();
  const of = (to: SubscriptionKind): Settled => {
    const known = byQueue.get(to) ?? {
      ...{ now: new Set<number>(), durable: new Set<number>(), below: 0, durablyBelow: 0 },
    };
    byQueue.set(to, known);
    return known;
  };
  const faults: string[] = [];
  for (const event of history) {
    if (event.kind === 'said' && event.verb === 'ack') {
      of(event.to)[event.isDurable ? 'durable' : 'now'].add(event.offset);
    } else if (event.kind === 'sought') {
      const settled = of(event.to);
      if (event.isDurable) settled.durablyBelow = event.offset;
      else {
        settled.below = event.offset;
        settled.durablyBelow = Math.min(settled.durablyBelow, event.offset);
        for (const set of [settled.now, settled.durable]) {
          for (const offset of set) if (offset >= event.offset) set.delete(offset);
        }
      }
    } else if (event.kind === 'crashed') {
      for (const settled of byQueue.values()) {
        settled.now.clear();
        for (const offset of settled.durable) settled.now.add(offset);
        settled.below = settled.durablyBelow;
      }
    } else if (event.kind === 'delivered' && event.to !== 'stream') {
      const { now, below } = of(event.to);
      const { to, offset } = event;
      if (now.has(offset)) faults.push(`${to}: ${offset} was delivered after its ack`);
      else if (offset < below) faults.push(`${to}: ${offset} came below a seek to ${below}`);
    }
  }
  return faults;
}

/** Every record ends: acked, a dead letter, expired, taken back, for others, dropped, or skipped by a seek. */
export function nothingIsLost(history: readonly Event[], final: FinalState): string[] {
  const faults: string[] = [];
  for (const [to, backlog] of final.backlogs) {
    if (backlog !== 0) faults.push(`${to}: ${backlog} records are left over`);
    for (const offset of unfinished(history, to, final.startOffset)) {
      faults.push(`${to}: ${offset} is neither acked nor anything else`);
    }
  }
  return faults;
}

function unfinished(
  history: readonly Event[],
  to: SubscriptionKind,
  startOffset: number,
): number[] {
  const book = new FactBook();
  const ended = new Set<number>();
  const cancelled = new Set<number>();
  /** Ended before a seek went behind it; retention may have been under way. */
  const endedOnce = new Set<number>();
  /** What a seek made fresh again that a crash may have taken back. */
  let unsure: number[] = [];
  let soughtTo = 0;
  /** Dead; done as soon as there is nowhere to send it to. */
  const dying = new Set<number>();
  const inForce = new InForce();
  for (const event of history) {
    book.see(event);
    inForce.see(event);
    if (event.kind === 'settings' && event.to === to) {
      if (!inForce.hasTopic(to)) for (const offset of dying) ended.add(offset);
    } else if (event.kind === 'cancelled') cancelled.add(event.offset);
    else if (event.kind === 'crashed') {
      for (const offset of unsure) ended.add(offset);
      unsure = [];
    } else if (event.kind === 'cumulative' && to === 'stream') {
      for (let offset = 0; offset <= event.offset; offset++) ended.add(offset);
    } else if (event.kind === 'letter' && event.to === to) ended.add(event.offset);
    else if (event.kind === 'said' && event.to === to) {
      const isDropped = event.verb === 'reject' && !inForce.hasTopic(to);
      if (event.verb === 'ack' || isDropped) ended.add(event.offset);
      else if (inForce.kills(event)) dying.add(event.offset);
    } else if (event.kind === 'sought' && event.to === to) {
      soughtTo = Math.max(soughtTo, event.offset);
      if (event.isDurable) unsure = [];
      else {
        const again = [...ended].filter((offset) => offset >= event.offset);
        unsure.push(...again);
        for (const offset of again) {
          endedOnce.add(offset);
          ended.delete(offset);
        }
      }
    }
  }
  return [...book.facts.values()]
    .filter(({ offset, expiresAtMs, audience }) => {
      if (ended.has(offset) || offset < soughtTo) return false;
      if (offset < startOffset && endedOnce.has(offset)) return false;
      if (to === 'stream') return true;
      const isForOthers = audience !== '' && audience !== to;
      return !cancelled.has(offset) && !isForOthers && expiresAtMs > book.latestMs;
    })
    .map(({ offset }) => offset);
}

/** Nothing comes to queues before its time, after it, against the publisher's will, or to others. */
export function termsHold(history: readonly Event[]): string[] {
  const book = new FactBook();
  const cancelled = new Set<number>();
  const durablyCancelled = new Set<number>();
  const faults: string[] = [];
  for (const event of history) {
    book.see(event);
    if (event.kind === 'cancelled') {
      (event.isDurable ? durablyCancelled : cancelled).add(event.offset);
    }
    if (event.kind === 'crashed') {
      for (const offset of cancelled) if (!durablyCancelled.has(offset)) cancelled.delete(offset);
    }
    if (event.kind !== 'delivered' || event.to === 'stream') continue;
    const { to, offset, wallMs } = event;
    const fact = book.of(offset);
    if (fact === undefined) continue;
    if (fact.deliverAtMs > book.latestMs) {
      faults.push(`${to}: ${offset} came ${fact.deliverAtMs - book.latestMs} ms early`);
    }
    if (fact.expiresAtMs <= wallMs) {
      faults.push(`${to}: ${offset} came ${wallMs - fact.expiresAtMs} ms after its time to live`);
    }
    if (cancelled.has(offset)) faults.push(`${to}: ${offset} came although it was taken back`);
    if (fact.audience !== '' && fact.audience !== to) {
      faults.push(`${to}: ${offset} came, which is for ${fact.audience}`);
    }
  }
  return faults;
}
