// Pause, rate, and what a subscription says of itself.
import type { SubscriptionKind } from '../../../broker/subscription/subscription.ts';
import type { Event } from './history.ts';

/** Nothing comes while it is paused. */
export function pausedIsQuiet(history: readonly Event[]): string[] {
  const paused = new Set<SubscriptionKind>();
  return history.flatMap((event) => {
    if (event.kind === 'settings') {
      if (event.settings.paused) paused.add(event.to);
      else paused.delete(event.to);
    }
    if (event.kind !== 'delivered' || !paused.has(event.to)) return [];
    return [`${event.to}: ${event.offset} came while it is paused`];
  });
}

interface Window {
  rate: number;
  /** When records were handed over since the rate is this one, monotonic. */
  times: number[];
}

/** Over any time at most the rate and a tenth of a second's worth, at least one record, is handed over. */
export function rateHolds(history: readonly Event[]): string[] {
  const windows = new Map<SubscriptionKind, Window>();
  const faults: string[] = [];
  for (const event of history) {
    if (event.kind === 'crashed') for (const window of windows.values()) window.times = [];
    if (event.kind === 'settings') {
      const rate = event.settings.recordsPerSecondMax;
      if (windows.get(event.to)?.rate !== rate) windows.set(event.to, { rate, times: [] });
    }
    if (event.kind !== 'delivered' || event.to === 'stream') continue;
    const window = windows.get(event.to);
    if (window === undefined || window.rate === 0) continue;
    const { rate, times } = window;
    times.push(event.monoMs);
    for (const [i, fromMs] of times.entries()) {
      const allowed = Math.max(1, rate / 10) + (rate * (event.monoMs - fromMs)) / 1_000;
      if (times.length - i <= allowed + 1e-6) continue;
      faults.push(`${event.to}: ${times.length - i} in ${event.monoMs - fromMs} ms at ${rate}/s`);
      break;
    }
  }
  return faults;
}

/**
 * The counters are what a count of the records one by one gives, and add up to the backlog. When the wall clock was set
 * what is delayed and what is ready is told together only: after a restart what was given out may be held back again.
 */
export function countersAddUp(history: readonly Event[]): string[] {
  let isClockSet = false;
  return history.flatMap((event) => {
    if (event.kind === 'time' && event.isStep) isClockSet = true;
    if (event.kind !== 'status') return [];
    const { status, to } = event;
    const { ready, delayed, ...others } = event.recount;
    const recount = isClockSet
      ? { held: ready + delayed, ...others }
      : { ready, delayed, ...others };
    const claimed = { in_flight: status.inFlight, waiting: status.waiting, dead: status.dead };
    const counted = isClockSet
      ? { held: status.ready + status.delayed, ...claimed }
      : { ready: status.ready, delayed: status.delayed, ...claimed };
    const faults: string[] = [];
    const said = JSON.stringify(counted);
    const found = JSON.stringify(recount);
    if (said !== found) faults.push(`${to}: says ${said}, counted ${found}`);
    const sum = Object.values(counted).reduce((total, count) => total + count, 0);
    const backlog = status.endOffset - status.ackedOffset - status.ackedAbove;
    if (sum !== backlog)
      faults.push(`${to}: the counters sum to ${sum}, the backlog is ${backlog}`);
    return faults;
  });
}

/** When records wait and nothing is under way, it says why; with letters that wait too. */
export function blockedSaysWhy(history: readonly Event[]): string[] {
  return history.flatMap((event) => {
    if (event.kind !== 'status' || !event.isQuiet) return [];
    const { status, to } = event;
    if (status.ready + status.waiting + status.delayed + status.dead === 0) return [];
    if (status.blocked.length > 0) return [];
    return [`${to}: nothing moves, and no reason is given: ${JSON.stringify(status)}`];
  });
}
