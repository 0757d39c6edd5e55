// A queue subscription in one partition, one plain object per record: slow and obvious. Times are wall-clock
// milliseconds. It says what QueueState must answer to every command, restart included.
import { backoffMs } from '../../broker/subscription/backoff.ts';

export type ModelRecord =
  | { readonly state: 'fresh' }
  | { readonly state: 'acked' }
  | { readonly state: 'in_flight'; readonly lease: number; readonly attempt: number }
  | { readonly state: 'back'; readonly attempts: number; readonly readyAtMs: number };

export interface ModelLease {
  readonly lease: number;
  readonly consumer: number;
  deadlineMs: number;
}

export const modelPolicy = { ackDeadlineMs: 100, backoffMinMs: 16, backoffMaxMs: 128 };
export const modelDraw = (): number => 0;
const turnMax = 1_000;

export class QueueModel {
  records: ModelRecord[] = [];
  leases = new Map<number, ModelLease>();
  nowMs = 1_000_000;
  start = 0;
  turn = 0;
  deliveredBefore = 0;
  fence = 0;
  private readonly unackedMax: number;

  constructor(unackedMax: number) {
    this.unackedMax = unackedMax;
  }

  get end(): number {
    return this.records.length;
  }

  get floor(): number {
    const floor = this.records.findIndex((record) => record.state !== 'acked');
    return floor === -1 ? this.end : floor;
  }

  offsetsIn(state: ModelRecord['state']): number[] {
    return [...this.records.keys()].filter((offset) => this.records[offset]?.state === state);
  }

  next(recordsMax: number): unknown {
    const fresh = this.offsetsIn('fresh')[0];
    const retry = this.firstRetry();
    const room =
      this.unackedMax - this.offsetsIn('in_flight').length - this.offsetsIn('back').length;
    if (retry !== undefined && (this.turn <= 0 || fresh === undefined || room <= 0)) {
      const attempts = this.backAt(retry)?.attempts ?? -1;
      const joins = (offset: number): boolean => {
        const back = this.backAt(offset);
        return back !== undefined && back.attempts === attempts && back.readyAtMs <= this.nowMs;
      };
      return this.run(retry, recordsMax, attempts + 1, joins);
    }
    if (fresh !== undefined && room > 0) {
      const joins = (offset: number): boolean => this.records[offset]?.state === 'fresh';
      return this.run(fresh, Math.min(recordsMax, room), 1, joins);
    }
    if (fresh !== undefined) return { kind: 'blocked', reason: 'unacked_limit' };
    if (this.offsetsIn('back').length > 0) return { kind: 'blocked', reason: 'delayed' };
    return { kind: 'idle' };
  }

  lease(first: number, last: number, lease: number, consumer: number): void {
    const retried = this.backAt(first) !== undefined;
    const count = last - first + 1;
    this.turn = retried
      ? Math.min(this.turn + count, turnMax)
      : Math.max(this.turn - count, -turnMax);
    this.leases.set(lease, { lease, consumer, deadlineMs: this.nowMs + modelPolicy.ackDeadlineMs });
    for (let offset = first; offset <= last; offset++) {
      const attempt = (this.backAt(offset)?.attempts ?? 0) + 1;
      this.records[offset] = { state: 'in_flight', lease, attempt };
    }
  }

  ack(first: number, last: number, lease: number): number | 'lease_lost' | 'invalid' {
    if (lease !== 0 && lease < this.fence) return 'lease_lost';
    let newly = 0;
    for (let offset = first; offset <= last; offset++) {
      const record = this.records[offset];
      if (record === undefined) return 'invalid';
      if (record.state === 'fresh' && offset >= this.deliveredBefore) return 'invalid';
      if (record.state !== 'acked') newly++;
    }
    for (let offset = first; offset <= last; offset++) this.records[offset] = { state: 'acked' };
    this.dropEmptyLeases();
    return newly;
  }

  /** Records of the lease in the range come back; answers their offsets. `counts`: whether the attempt does. */
  putBack(lease: number, first: number, last: number, waitMs: number | 'backoff', counts: boolean) {
    const given: number[] = [];
    for (const offset of this.heldBy(lease)) {
      const record = this.records[offset];
      if (offset < first || offset > last || record?.state !== 'in_flight') continue;
      const wait =
        waitMs === 'backoff' ? backoffMs(modelPolicy, record.attempt, modelDraw) : waitMs;
      const attempts = counts ? record.attempt : record.attempt - 1;
      this.records[offset] = { state: 'back', attempts, readyAtMs: this.nowMs + wait };
      given.push(offset);
    }
    this.dropEmptyLeases();
    return given;
  }

  expiredLeases(): number[] {
    return [...this.leases.values()].filter((l) => l.deadlineMs <= this.nowMs).map((l) => l.lease);
  }

  leasesOf(consumer: number): number[] {
    return [...this.leases.values()].filter((l) => l.consumer === consumer).map((l) => l.lease);
  }

  heldBy(lease: number): number[] {
    return this.offsetsIn('in_flight').filter((offset) => {
      const record = this.records[offset];
      return record?.state === 'in_flight' && record.lease === lease;
    });
  }

  seek(to: number, fence: number): void {
    this.records = this.records.map((_, at) => ({ state: at < to ? 'acked' : 'fresh' }));
    this.leases.clear();
    this.deliveredBefore = 0;
    this.fence = fence;
  }

  /** Answers how many records that newly acked. */
  skipTo(to: number): number {
    this.start = Math.max(this.start, to);
    const newly = this.records.filter((record, at) => at < to && record.state !== 'acked').length;
    this.records = this.records.map((record, at) => (at < to ? { state: 'acked' } : record));
    this.dropEmptyLeases();
    return newly;
  }

  restart(): void {
    this.leases.clear();
    this.turn = 0;
    const acked = this.offsetsIn('acked').at(-1) ?? -1;
    this.deliveredBefore = Math.min(this.end, acked + 1 + this.unackedMax);
    this.records = this.records.map((record) => {
      if (record.state !== 'in_flight' && record.state !== 'back') return record;
      const attempts = record.state === 'back' ? record.attempts : record.attempt - 1;
      const readyAtMs =
        record.state === 'back' ? Math.max(record.readyAtMs, this.nowMs) : this.nowMs;
      return attempts === 0 ? { state: 'fresh' } : { state: 'back', attempts, readyAtMs };
    });
  }

  nextWakeMs(): number {
    const first = Math.min(...this.backs().map((back) => back.readyAtMs));
    const deadlines = [...this.leases.values()].map((lease) => lease.deadlineMs);
    return Math.min(...deadlines, first > this.nowMs ? first : Infinity);
  }

  counts(): unknown {
    const inFlight = this.offsetsIn('in_flight').length;
    const waiting = this.backs().filter((back) => back.readyAtMs > this.nowMs).length;
    const acked = this.offsetsIn('acked').length;
    const floor = this.floor;
    return {
      ready: this.end - acked - inFlight - waiting,
      inFlight,
      waiting,
      delayed: 0,
      ackedAbove: acked - floor,
      dead: 0,
      floor,
    };
  }

  private backs(): { attempts: number; readyAtMs: number }[] {
    return this.records.filter((record) => record.state === 'back');
  }

  private backAt(offset: number): { attempts: number; readyAtMs: number } | undefined {
    const record = this.records[offset];
    return record?.state === 'back' ? record : undefined;
  }

  /** What has been ready for longest, the lowest offset of it. */
  private firstRetry(): number | undefined {
    let best: number | undefined;
    for (const offset of this.offsetsIn('back')) {
      const ready = this.backAt(offset)?.readyAtMs ?? Infinity;
      const bestReady = best === undefined ? Infinity : (this.backAt(best)?.readyAtMs ?? Infinity);
      if (ready <= this.nowMs && ready < bestReady) best = offset;
    }
    return best;
  }

  private run(first: number, max: number, attempt: number, joins: (offset: number) => boolean) {
    let last = first;
    while (last - first + 1 < max && joins(last + 1)) last++;
    return { kind: 'run', first, last, attempt };
  }

  private dropEmptyLeases(): void {
    for (const lease of this.leases.keys()) {
      if (this.heldBy(lease).length === 0) this.leases.delete(lease);
    }
  }
}
