// The rules that every history must keep. Each answers what broke it, in words; nothing when it holds.
import type { Event, FinalState } from './history.ts';

export type Checker = (history: readonly Event[], final: FinalState) => readonly string[];

/** A confirmed record is there at the end, with its value, unless retention may have removed it after its ack. */
const confirmedIsKept: Checker = (history, final) => {
  const byOffset = new Map(final.records.map(({ offset, value }) => [offset, value]));
  return history.flatMap((event) => {
    if (event.kind !== 'confirmed' || event.offset < final.startOffset) return [];
    const stored = byOffset.get(event.offset);
    if (stored === event.value) return [];
    return [`confirmed ${event.offset} "${event.value}" is "${stored ?? 'lost'}"`];
  });
};

/** A sequence of a publisher is stored once. */
const storedOnce: Checker = (history, final) => {
  const offsets = new Map<string, Set<number>>();
  const see = (offset: number, value: string): void => {
    const seen = offsets.get(value) ?? new Set();
    offsets.set(value, seen.add(offset));
  };
  for (const event of history) {
    if (event.kind === 'confirmed' || event.kind === 'delivered') see(event.offset, event.value);
  }
  for (const { offset, value } of final.records) see(offset, value);
  return [...offsets].flatMap(([value, at]) =>
    at.size > 1 ? [`"${value}" is stored at ${[...at].join(' and ')}`] : [],
  );
};

/** Values of one publisher stand in the order of their numbers, and offsets are dense. */
const ordered: Checker = (_history, final) => {
  const last = new Map<string, number>();
  return final.records.flatMap(({ offset, value }, i) => {
    const faults: string[] = [];
    if (offset !== final.startOffset + i) faults.push(`offset ${offset} stands at place ${i}`);
    const [publisher = '', number = ''] = value.split(' ');
    if (Number(number) <= (last.get(publisher) ?? 0)) faults.push(`"${value}" is out of order`);
    last.set(publisher, Number(number));
    return faults;
  });
};

/** What was handed out once never becomes another record: nobody saw what could still be lost. */
const seenIsStable: Checker = (history, final) => {
  const seen = new Map<number, string>();
  const stored = new Map(final.records.map(({ offset, value }) => [offset, value]));
  const faults: string[] = [];
  for (const event of history) {
    if (event.kind !== 'delivered') continue;
    const before = seen.get(event.offset);
    if (before !== undefined && before !== event.value) {
      faults.push(`offset ${event.offset} was "${before}" and then "${event.value}"`);
    }
    seen.set(event.offset, event.value);
  }
  for (const [offset, value] of seen) {
    if (offset >= final.startOffset && stored.get(offset) !== value) {
      faults.push(
        `"${value}" was handed out at ${offset} and is "${stored.get(offset) ?? 'gone'}"`,
      );
    }
  }
  return faults;
};

/** Once its ack was confirmed a record is not delivered again, unless the subscription was moved back. */
const ackedStaysAcked: Checker = (history) => {
  const acked = new Set<number>();
  const faults: string[] = [];
  for (const event of history) {
    if (event.kind === 'ack-confirmed') acked.add(event.offset);
    if (event.kind === 'sought') {
      for (const offset of acked) if (offset >= event.offset) acked.delete(offset);
    }
    if (event.kind === 'delivered' && acked.has(event.offset)) {
      faults.push(`${event.offset} was delivered after its ack was confirmed`);
    }
  }
  return faults;
};

/** Every record that was stored is handed out in the end, and nothing is left over. */
const allDelivered: Checker = (history, final) => {
  const delivered = new Set<number>();
  let soughtTo = 0;
  for (const event of history) {
    if (event.kind === 'delivered') delivered.add(event.offset);
    if (event.kind === 'sought') soughtTo = Math.max(soughtTo, event.offset);
  }
  const faults = final.records.flatMap(({ offset }) =>
    delivered.has(offset) || offset < soughtTo ? [] : [`${offset} was never delivered`],
  );
  // Retention may only have removed what was handed out, or what a seek skipped.
  for (let offset = 0; offset < final.startOffset; offset++) {
    if (!delivered.has(offset) && offset >= soughtTo)
      faults.push(`${offset} was removed undelivered`);
  }
  if (final.backlog !== 0) faults.push(`${final.backlog} records are left over`);
  return faults;
};

/** Attempts rise by one from delivery to delivery; a crash may cost those whose end was not durable, no others. */
const attemptsHold: Checker = (history) => {
  const last = new Map<number, number>();
  const durable = new Map<number, number>();
  const faults: string[] = [];
  let isAfterCrash = new Set<number>();
  for (const event of history) {
    if (event.kind === 'crashed') isAfterCrash = new Set(last.keys());
    if (event.kind === 'nack-durable') durable.set(event.offset, event.attempt);
    if (event.kind === 'sought') {
      last.clear();
      durable.clear();
    }
    if (event.kind !== 'delivered') continue;
    const { offset, attempt } = event;
    const before = last.get(offset) ?? 0;
    const least = isAfterCrash.has(offset) ? (durable.get(offset) ?? 0) + 1 : before + 1;
    if (attempt < least || attempt > before + 1) {
      faults.push(`${offset}: attempt ${attempt} after ${before}, at least ${least} was owed`);
    }
    last.set(offset, attempt);
    isAfterCrash.delete(offset);
  }
  return faults;
};

export const checkers: Readonly<Record<string, Checker>> = {
  confirmedIsKept,
  storedOnce,
  ordered,
  seenIsStable,
  ackedStaysAcked,
  allDelivered,
  attemptsHold,
};

/** Every broken rule, as `checker: what`. */
export function checkAll(history: readonly Event[], final: FinalState): string[] {
  return Object.entries(checkers).flatMap(([name, check]) =>
    check(history, final).map((fault) => `${name}: ${fault}`),
  );
}
