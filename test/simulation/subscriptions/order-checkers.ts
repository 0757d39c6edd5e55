// In which order records come: streams, keys, priorities.
import { FactBook } from './fact-book.ts';
import type { Event } from './history.ts';

interface Cursor {
  acked: number;
  durable: number;
  /** Other places where it may stand after a crash. */
  readonly unsure: Set<number>;
  next: number | undefined;
}

/** A stream's consumer gets everything in order from the cursor on, and the cursor is what was acked. */
export function streamsAreInOrder(history: readonly Event[]): string[] {
  const cursor: Cursor = { acked: 0, durable: 0, unsure: new Set(), next: undefined };
  let hasCrashed = false;
  const faults: string[] = [];
  for (const event of history) {
    if (event.kind === 'activated') cursor.next = undefined;
    else if (event.kind === 'crashed') {
      hasCrashed = true;
      cursor.next = undefined;
    } else if (event.kind === 'cumulative') {
      if (event.isDurable) cursor.durable = Math.max(cursor.durable, event.offset + 1);
      else cursor.acked = Math.max(cursor.acked, event.offset + 1);
    } else if (event.kind === 'trimmed') {
      // Retention was under way when a seek went behind it.
      cursor.acked = Math.max(cursor.acked, event.startOffset);
      if (cursor.next !== undefined) cursor.next = Math.max(cursor.next, event.startOffset);
    } else if (event.kind === 'sought' && event.to === 'stream') {
      if (event.isDurable) {
        cursor.unsure.clear();
        cursor.durable = event.offset;
      } else {
        cursor.unsure.add(cursor.acked).add(cursor.durable);
        Object.assign(cursor, { acked: event.offset, durable: 0, next: event.offset });
      }
    } else if (event.kind === 'delivered' && event.to === 'stream') {
      const { offset } = event;
      const isNext =
        cursor.next === undefined ? mayStartAt(cursor, offset, hasCrashed) : offset === cursor.next;
      if (!isNext) {
        faults.push(`${offset} came, not ${cursor.next ?? `${cursor.durable} to ${cursor.acked}`}`);
      }
      // Where it stands after a restart is known now.
      if (cursor.next === undefined) cursor.acked = offset;
      hasCrashed = false;
      cursor.next = offset + 1;
    }
  }
  return faults;
}

function mayStartAt(
  { acked, durable, unsure }: Cursor,
  offset: number,
  hasCrashed: boolean,
): boolean {
  if (!hasCrashed) return offset === acked;
  return unsure.size > 0 || (offset >= durable && offset <= acked);
}

interface Line {
  /** Delivered by this process and not done. */
  readonly open: Set<number>;
  /** Whether a crash has forgotten that is known when it is delivered again. */
  readonly done: Set<number>;
  /** What may be done again when a crash takes a seek back. */
  readonly unsure: Set<number>;
}

/**
 * Of a key one record is out, the oldest that is not done. Records whose time has yet to come join the line of their
 * key then; after a restart the line is in the order of offsets again.
 */
export function keysAreInOrder(history: readonly Event[]): string[] {
  const book = new FactBook();
  const line: Line = { open: new Set(), done: new Set(), unsure: new Set() };
  /** Appended to this process. */
  const recent = new Set<number>();
  let openedMs = 0;
  let mayDrop = false;
  const cancelled = new Set<number>();
  const faults: string[] = [];
  for (const event of history) {
    book.see(event);
    if (event.kind === 'opened') openedMs = event.wallMs;
    if (event.kind === 'cancelled') cancelled.add(event.offset);
    if (event.kind === 'settings' && event.to === 'keyed_queue') {
      mayDrop = !event.settings.hasDeadLetterTopic;
    }
    if (event.kind === 'trimmed') {
      for (let at = 0; at < event.startOffset; at++) settle(line, at);
    }
    if (event.kind === 'letter' && event.to === 'keyed_queue') settle(line, event.offset);
    if (event.kind === 'said' && event.to === 'keyed_queue') {
      if (event.verb === 'ack' || (event.verb === 'reject' && mayDrop)) {
        settle(line, event.offset);
      }
    }
    // What is behind a seek or a crash is known again when it is delivered.
    if (event.kind === 'sought' && event.to === 'keyed_queue') {
      if (event.isDurable) line.unsure.clear();
      else restart(line, event.offset);
    }
    if (event.kind === 'appended') recent.add(event.fact.offset);
    if (event.kind === 'crashed') {
      recent.clear();
      line.open.clear();
      for (const offset of line.unsure) line.done.add(offset);
      line.unsure.clear();
    }
    if (event.kind !== 'delivered' || event.to !== 'keyed_queue') continue;
    const { offset, wallMs } = event;
    const key = book.of(offset)?.key ?? '';
    for (const elder of book.facts.values()) {
      if (key === '' || elder.key !== key || elder.offset === offset) continue;
      if (line.done.has(elder.offset) || elder.expiresAtMs <= wallMs || mayDrop) continue;
      if (line.open.has(elder.offset)) {
        faults.push(`${offset} of ${key} came while ${elder.offset} is out`);
      } else if (elder.offset < offset && !cancelled.has(elder.offset)) {
        const isDue =
          elder.deliverAtMs === 0 || (elder.deliverAtMs <= openedMs && !recent.has(elder.offset));
        const joinsLater = !isDue || elder.expiresAtMs < Infinity;
        const isForOthers = elder.audience !== '' && elder.audience !== 'keyed_queue';
        if (!joinsLater && !isForOthers)
          faults.push(`${offset} of ${key} overtook ${elder.offset}`);
      }
    }
    line.open.add(offset);
    line.done.delete(offset);
  }
  return faults;
}

function settle({ open, done }: Line, offset: number): void {
  open.delete(offset);
  done.add(offset);
}

/** Everything below is done. What is above is fresh. */
function restart({ open, done, unsure }: Line, offset: number): void {
  open.clear();
  for (const at of done) {
    unsure.add(at);
    if (at >= offset) done.delete(at);
  }
  for (let at = 0; at < offset; at++) done.add(at);
}

/** Of ten hand-overs of fresh records one goes to the oldest, with some slack for what is not seen from outside. */
const handOversMax = 12;
const preferredMin = 3;

/** On a plain queue what is of a higher priority goes first, and the oldest record waits for a few hand-overs only. */
export function prioritiesHold(history: readonly Event[]): string[] {
  const book = new FactBook();
  /** Stored, due at once, and never delivered or moved. */
  const fresh = new Set<number>();
  let passedOver = 0;
  let preferredSince = Infinity;
  // What is thrown away unseen, expired or for others, counts as a hand-over too.
  let isSeen = true;
  const faults: string[] = [];
  for (const [i, event] of history.entries()) {
    book.see(event);
    if (event.kind === 'stored') {
      const fact = book.of(event.offset);
      const isPlain = fact?.deliverAtMs === 0 && fact.expiresAtMs === Infinity;
      if (isPlain && fact.audience === '') fresh.add(event.offset);
      isSeen &&= fact?.expiresAtMs === Infinity && fact.audience === '';
    }
    if (event.kind === 'crashed' || (event.kind === 'sought' && event.to === 'queue')) {
      fresh.clear();
      passedOver = 0;
      preferredSince = Infinity;
    }
    if (event.kind !== 'delivered' || event.to !== 'queue') continue;
    const before = history[i - 1];
    const isSameRun =
      before?.kind === 'delivered' &&
      before.to === 'queue' &&
      before.offset === event.offset - 1 &&
      event.runLength > 1;
    const wasFresh = fresh.delete(event.offset);
    const oldest = Math.min(...fresh);
    // The oldest may be one that was there before a crash.
    if (!wasFresh && event.attempt === 1 && event.offset < oldest) passedOver = 0;
    if (!wasFresh || isSameRun) continue;
    const priority = book.of(event.offset)?.priority ?? 0;
    const highest = Math.max(0, ...[...fresh].map((offset) => book.of(offset)?.priority ?? 0));
    if (priority >= highest) preferredSince++;
    else {
      if (isSeen && preferredSince < preferredMin) {
        faults.push(`${event.offset} of priority ${priority} came before one of ${highest}`);
      }
      preferredSince = 0;
    }
    passedOver = oldest < event.offset ? passedOver + 1 : 0;
    if (passedOver > handOversMax) faults.push(`${oldest} starves: ${passedOver} went before it`);
  }
  return faults;
}
