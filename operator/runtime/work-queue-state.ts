// Which key is reconciled next: a pure machine.
//
//   add ──▶ ready ──take──▶ active ──done──▶ gone, or ready again when it was added meanwhile
//             ▲                 └──failed──▶ delayed ──time──▶ ready
//             └────── addAt ──▶ delayed
//
// Invariants:
// - A key is at most once ready, delayed or active: what is added twice is done once.
// - An active key is never taken again before it is done.
// - An earlier time wins over a later one; a plain add over both.
import { backoffMs, type BackoffBounds } from './backoff.ts';

interface Entry {
  state: 'ready' | 'delayed' | 'active';
  /** Of a delayed key, or for an active one when to come back; undefined: not. */
  dueMs: number | undefined;
  failures: number;
}

export class WorkQueueState {
  private readonly bounds: BackoffBounds;
  private readonly entries = new Map<string, Entry>();
  private readonly ready = new Set<string>();

  constructor(bounds: BackoffBounds) {
    this.bounds = bounds;
  }

  get size(): number {
    return this.entries.size;
  }

  get readyCount(): number {
    return this.ready.size;
  }

  add(key: string): void {
    this.addAt(key, -Infinity);
  }

  addAt(key: string, dueMs: number): void {
    const entry = this.entries.get(key);
    if (entry === undefined) {
      this.entries.set(key, { state: 'delayed', dueMs, failures: 0 });
    } else if (entry.state !== 'ready') {
      entry.dueMs = Math.min(entry.dueMs ?? Infinity, dueMs);
    }
    if (dueMs === -Infinity) this.makeReady(key);
  }

  /** The key that has been ready for longest; undefined: none is. */
  take(nowMs: number): string | undefined {
    for (const [key, { state, dueMs }] of this.entries) {
      if (state === 'delayed' && dueMs !== undefined && dueMs <= nowMs) this.makeReady(key);
    }
    for (const key of this.ready) {
      this.ready.delete(key);
      const entry = this.entries.get(key);
      if (entry === undefined) continue;
      entry.state = 'active';
      entry.dueMs = undefined;
      return key;
    }
    return undefined;
  }

  /** It went well. */
  done(key: string): void {
    const entry = this.active(key);
    if (entry.dueMs === undefined) this.entries.delete(key);
    else this.requeue(key, { ...entry, failures: 0 }, entry.dueMs);
  }

  /** It is tried again after a back-off that grows; at once when it was added meanwhile. `draw`: 0 to 1. */
  failed(key: string, nowMs: number, draw: number): void {
    const entry = this.active(key);
    const failures = entry.failures + 1;
    const retryMs = nowMs + backoffMs(this.bounds, failures, draw);
    this.requeue(key, { ...entry, failures }, Math.min(entry.dueMs ?? Infinity, retryMs));
  }

  /** When a delayed key is due. Infinity: none is. */
  nextDueMs(): number {
    let next = Infinity;
    for (const { state, dueMs } of this.entries.values()) {
      if (state === 'delayed' && dueMs !== undefined) next = Math.min(next, dueMs);
    }
    return next;
  }

  private active(key: string): Entry {
    const entry = this.entries.get(key);
    if (entry?.state !== 'active') throw new Error(`key ${key} is not active`);
    return entry;
  }

  private requeue(key: string, entry: Entry, dueMs: number): void {
    this.entries.set(key, { ...entry, state: 'delayed', dueMs });
    if (dueMs === -Infinity) this.makeReady(key);
  }

  private makeReady(key: string): void {
    const entry = this.entries.get(key);
    if (entry?.state !== 'delayed') return;
    entry.state = 'ready';
    this.ready.add(key);
  }
}
