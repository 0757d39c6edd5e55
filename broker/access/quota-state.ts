// What one tenant or namespace uses against its quota. Time comes in, but for the queues of those it holds back.
// https://en.wikipedia.org/wiki/Token_bucket
//
// Invariants:
// - Over any time t at most rate * t + burst passes, plus what was on its way when the bucket ran dry: a bucket may
//   owe, and what it owes is paid before anything more passes. So a batch larger than the burst passes, and others wait
//   for it.
// - The burst is one second's worth. Streams publish it at `peakTimes` the rate, for what a tenant saved up would fill
//   the commits of all: measured, a burst of 5 MB in 50 ms raised another tenant's p99 in that second to 110 ms.
// - What is unlimited is counted, and never holds anybody back.
import { noQuota, type Quota } from '../catalog/quota.ts';
import type { Clock } from '../core/clock.ts';
import { HoldQueue } from './hold-queue.ts';

const peakTimes = 4;
/** Of the peak: what passes at once. */
const peakBurstSeconds = 0.05;
/** How fast the usual size of a take follows the takes. */
const usualWeight = 1 / 8;

/** One rate. */
export class RateBucket {
  private readonly burstSeconds: number;
  private perSecond = 0;
  private tokens = 0;
  private filledAtMs = 0;
  /** Moving average of what is taken at a time. */
  private usualTake = 0;

  constructor(burstSeconds = 1) {
    this.burstSeconds = burstSeconds;
  }

  /** 0: no limit. Takes effect at once; what is owed stays owed. */
  change(perSecond: number, nowMs: number): void {
    if (perSecond === this.perSecond) return;
    this.fill(nowMs);
    const wasUnlimited = this.perSecond === 0;
    this.perSecond = perSecond;
    this.filledAtMs = nowMs;
    this.tokens = wasUnlimited ? this.burst : Math.min(this.tokens, this.burst);
  }

  take(amount: number, nowMs: number): void {
    if (this.perSecond === 0) return;
    this.fill(nowMs);
    this.tokens -= amount;
    this.usualTake += (amount - this.usualTake) * usualWeight;
  }

  /** How many takes of the usual size may pass now, at least one if any may. */
  turns(nowMs: number): number {
    if (this.perSecond === 0) return Infinity;
    this.fill(nowMs);
    return this.tokens > 0 ? Math.max(1, Math.floor(this.tokens / this.usualTake)) : 0;
  }

  /** How long until anything may pass; 0: it may now. */
  waitMs(nowMs: number): number {
    if (this.perSecond === 0) return 0;
    this.fill(nowMs);
    return this.tokens > 0 ? 0 : Math.max(1, Math.ceil((-this.tokens * 1000) / this.perSecond));
  }

  /** What passed beyond what was allowed so far. */
  owed(nowMs: number): number {
    if (this.perSecond === 0) return 0;
    this.fill(nowMs);
    return Math.max(0, -this.tokens);
  }

  isFull(nowMs: number): boolean {
    if (this.perSecond === 0) return true;
    this.fill(nowMs);
    return this.tokens >= this.burst;
  }

  private fill(nowMs: number): void {
    if (nowMs === this.filledAtMs) return;
    const gained = (Math.max(nowMs - this.filledAtMs, 0) * this.perSecond) / 1000;
    this.tokens = Math.min(this.tokens + gained, this.burst);
    this.filledAtMs = nowMs;
  }

  private get burst(): number {
    return this.perSecond * this.burstSeconds;
  }
}

export type RateName =
  | 'publish_bytes_per_second'
  | 'publish_records_per_second'
  | 'delivery_bytes_per_second'
  | 'admin_calls_per_second';

/** A quota that is used up for now. */
export interface Hold {
  readonly quota: RateName;
  /** `tenant` or `tenant/namespace`. */
  readonly scope: string;
  readonly waitMs: number;
}

/** The same for a stream, which waits in the queue for its turn. */
export interface StreamHold extends Hold {
  readonly queue: HoldQueue;
}

/** Totals since the start. */
export interface Traffic {
  readonly publishBytes: number;
  readonly publishRecords: number;
  readonly deliveryBytes: number;
  readonly adminCalls: number;
}

/** One tenant or namespace. */
export class ScopeQuota {
  readonly scope: string;
  readonly traffic = { publishBytes: 0, publishRecords: 0, deliveryBytes: 0, adminCalls: 0 };
  heldBackTotal = 0;
  refusedTotal = 0;
  /** Stored bytes at the last look, and what was published since. */
  storedBytes = 0;
  private limits: Quota = noQuota;
  private readonly publishBytes = new RateBucket();
  private readonly publishRecords = new RateBucket();
  private readonly publishBytesPeak = new RateBucket(peakBurstSeconds);
  private readonly publishRecordsPeak = new RateBucket(peakBurstSeconds);
  private readonly publishRates = [
    this.publishBytes,
    this.publishRecords,
    this.publishBytesPeak,
    this.publishRecordsPeak,
  ] as const;
  private readonly deliveryBytes = new RateBucket();
  private readonly adminCalls = new RateBucket();
  /** How many streams each connection has open here. */
  private readonly streams = new Map<string, number>();
  private readonly publishing: HoldQueue;
  private readonly delivering: HoldQueue;

  constructor(scope: string, clock: Clock) {
    this.scope = scope;
    this.publishing = new HoldQueue(
      clock,
      (nowMs) => this.publishStreamHold(nowMs),
      (nowMs) => Math.min(...this.publishRates.map((bucket) => bucket.turns(nowMs))),
    );
    this.delivering = new HoldQueue(
      clock,
      (nowMs) => this.deliveryHold(nowMs),
      (nowMs) => this.deliveryBytes.turns(nowMs),
    );
  }

  get quota(): Quota {
    return this.limits;
  }

  get connectionCount(): number {
    return this.streams.size;
  }

  change(quota: Quota, nowMs: number): void {
    this.limits = quota;
    this.publishBytes.change(quota.publishBytesPerSecond, nowMs);
    this.publishRecords.change(quota.publishRecordsPerSecond, nowMs);
    this.publishBytesPeak.change(quota.publishBytesPerSecond * peakTimes, nowMs);
    this.publishRecordsPeak.change(quota.publishRecordsPerSecond * peakTimes, nowMs);
    this.deliveryBytes.change(quota.deliveryBytesPerSecond, nowMs);
    this.adminCalls.change(quota.adminCallsPerSecond, nowMs);
  }

  published(bytes: number, records: number, nowMs: number): void {
    this.traffic.publishBytes += bytes;
    this.traffic.publishRecords += records;
    this.storedBytes += bytes;
    this.publishBytes.take(bytes, nowMs);
    this.publishRecords.take(records, nowMs);
    this.publishBytesPeak.take(bytes, nowMs);
    this.publishRecordsPeak.take(records, nowMs);
  }

  delivered(bytes: number, nowMs: number): void {
    this.traffic.deliveryBytes += bytes;
    this.deliveryBytes.take(bytes, nowMs);
  }

  called(nowMs: number): void {
    this.traffic.adminCalls++;
    this.adminCalls.take(1, nowMs);
  }

  callHold(nowMs: number): Hold | undefined {
    return this.hold('admin_calls_per_second', this.adminCalls, nowMs);
  }

  /** Whether its burst of calls is whole again: who is forgotten before would get it anew. */
  hasRested(nowMs: number): boolean {
    return this.adminCalls.isFull(nowMs);
  }

  /** Why a call must come again: the longer of both waits. */
  publishHold(nowMs: number): Hold | undefined {
    const bytes = this.hold('publish_bytes_per_second', this.publishBytes, nowMs);
    const records = this.hold('publish_records_per_second', this.publishRecords, nowMs);
    return longerOf(bytes, records);
  }

  /** Why a stream must wait, for the peak too. */
  publishStreamHold(nowMs: number): StreamHold | undefined {
    const bytes = this.hold('publish_bytes_per_second', this.publishBytesPeak, nowMs);
    const records = this.hold('publish_records_per_second', this.publishRecordsPeak, nowMs);
    const hold = longerOf(this.publishHold(nowMs), longerOf(bytes, records));
    return hold && { ...hold, queue: this.publishing };
  }

  deliveryHold(nowMs: number): StreamHold | undefined {
    const hold = this.hold('delivery_bytes_per_second', this.deliveryBytes, nowMs);
    return hold && { ...hold, queue: this.delivering };
  }

  publishOwed(nowMs: number): { readonly bytes: number; readonly records: number } {
    return { bytes: this.publishBytes.owed(nowMs), records: this.publishRecords.owed(nowMs) };
  }

  get isStoredFull(): boolean {
    return this.limits.storedBytes > 0 && this.storedBytes >= this.limits.storedBytes;
  }

  /** Whether a stream of this connection would be one connection too many. */
  isConnectionFull(connection: string): boolean {
    const { connections } = this.limits;
    return connections > 0 && !this.streams.has(connection) && this.streams.size >= connections;
  }

  openStream(connection: string): void {
    this.streams.set(connection, (this.streams.get(connection) ?? 0) + 1);
  }

  closeStream(connection: string): void {
    const left = (this.streams.get(connection) ?? 1) - 1;
    if (left > 0) this.streams.set(connection, left);
    else this.streams.delete(connection);
  }

  private hold(quota: RateName, bucket: RateBucket, nowMs: number): Hold | undefined {
    const waitMs = bucket.waitMs(nowMs);
    return waitMs === 0 ? undefined : { quota, scope: this.scope, waitMs };
  }
}

/** Whoever waits for both waits for the longer one. */
export function longerOf<H extends Hold>(one: H | undefined, other: H | undefined): H | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return one.waitMs >= other.waitMs ? one : other;
}
