// The rules that every history of subscriptions must keep. Each answers what broke it, in words.
import {
  arrivalsAreKept,
  attemptsHold,
  backoffHolds,
  deadStaysDead,
  lastAttemptTravelsAlone,
  lettersTellTheTruth,
  seeksVoidLeases,
} from './attempt-checkers.ts';
import { blockedSaysWhy, countersAddUp, pausedIsQuiet, rateHolds } from './flow-checkers.ts';
import type { Event, FinalState } from './history.ts';
import { keysAreInOrder, prioritiesHold, streamsAreInOrder } from './order-checkers.ts';
import { ackedStaysAcked, nothingIsLost, termsHold, valuesHold } from './record-checkers.ts';

export const checkers = {
  valuesHold,
  ackedStaysAcked,
  nothingIsLost,
  termsHold,
  attemptsHold,
  lastAttemptTravelsAlone,
  deadStaysDead,
  lettersTellTheTruth,
  backoffHolds,
  seeksVoidLeases,
  arrivalsAreKept,
  streamsAreInOrder,
  keysAreInOrder,
  prioritiesHold,
  pausedIsQuiet,
  rateHolds,
  countersAddUp,
  blockedSaysWhy,
} as const satisfies Record<string, (history: readonly Event[], final: FinalState) => string[]>;

/** Every broken rule, as `checker: what`. */
export function checkAll(history: readonly Event[], final: FinalState): string[] {
  return Object.entries(checkers).flatMap(([name, check]) =>
    check(history, final).map((fault) => `${name}: ${fault}`),
  );
}
