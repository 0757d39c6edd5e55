// Which of several operators works: the holder of a Lease.
//
// Invariants:
// - The lease is written by its resourceVersion only: of two that try, one fails.
// - Who could not renew for `renewWithinMs`, counted from before it asked, is told to stop before anybody else may
//   begin at `leaseMs`, whatever a call still waits for. Who sees another holder is told at once.
// - Clocks never go back; a lease is judged by how long this process has seen it unchanged, never by its times.
// - A call to the API server ends well within `renewWithinMs` (composition gives the leases' resource `leaseCallMs`).
// - It is given up at the end, so that a rolling update waits for nobody.
// Safety does not rest on it: every write to the broker carries an id or a revision.
import { isKubeFailure } from '../kube/kube-error.ts';
import type { KubeObject, Resource } from '../kube/resource.ts';
import type { OperatorLog } from './operator-log.ts';
import type { Timing } from './timing.ts';

export interface Lease extends KubeObject {
  readonly spec?: {
    readonly holderIdentity?: string | null;
    readonly leaseDurationSeconds?: number;
    readonly acquireTime?: string | null;
    readonly renewTime?: string | null;
    readonly leaseTransitions?: number;
  };
}

export interface ElectionOptions {
  readonly leases: Resource<Lease>;
  readonly namespace: string;
  readonly name: string;
  /** Of this process; unlike every other's. */
  readonly identity: string;
  readonly timing: Timing;
  readonly log: OperatorLog;
}

const leaseMs = 15_000;
const renewWithinMs = 10_000;
const retryMs = 2_000;
/** Two failed calls in a row and what lies between them still end before another may lead. */
export const leaseCallMs = 4_000;

/** `unknown`: it could not be read or written now. */
type Attempt = 'held' | 'of another' | 'unknown';

export class LeaderElection {
  private readonly options: ElectionOptions;
  /** The lease as it was first seen in its present version, and when. */
  private seen: { readonly version: string; readonly atMs: number } | undefined;

  constructor(options: ElectionOptions) {
    this.options = options;
  }

  /**
   * Waits for the lease, runs `lead` while it is held, gives it up. Ends when the signal aborts; rejects when the lease
   * is lost, after `lead` has ended: the process starts again from nothing.
   */
  async run(signal: AbortSignal, lead: (signal: AbortSignal) => Promise<void>): Promise<void> {
    const { timing, log, identity } = this.options;
    let askedMs = timing.monotonicMs();
    while (!signal.aborted && (await this.tryAcquire()) !== 'held') {
      await timing.sleep(retryMs * (1 + timing.draw() / 5), signal);
      askedMs = timing.monotonicMs();
    }
    if (signal.aborted) return;
    log.info('took the lease', { identity });
    const lost = new AbortController();
    const leading = lead(AbortSignal.any([signal, lost.signal]));
    await this.keep(askedMs, signal, lost);
    await leading;
    if (lost.signal.aborted) throw new Error('the lease of the leader was lost');
    await this.release();
  }

  private async keep(heldMs: number, signal: AbortSignal, lost: AbortController): Promise<void> {
    const { timing, log } = this.options;
    let renewedMs = heldMs;
    while (!signal.aborted) {
      await timing.sleep(retryMs, signal);
      if (signal.aborted) return;
      const askedMs = timing.monotonicMs();
      const attempt = await this.attemptWithin(renewedMs + renewWithinMs - askedMs, signal);
      if (attempt === 'held') renewedMs = askedMs;
      const isOver = timing.monotonicMs() - renewedMs >= renewWithinMs;
      if (attempt === 'of another' || isOver) {
        log.error('lost the lease', { identity: this.options.identity });
        lost.abort();
        return;
      }
    }
  }

  /** `unknown` when the time is over: the call may still end, for whoever leads then. */
  private async attemptWithin(withinMs: number, signal: AbortSignal): Promise<Attempt> {
    const answered = new AbortController();
    const over = this.options.timing
      .sleep(Math.max(0, withinMs), AbortSignal.any([signal, answered.signal]))
      .then((): Attempt => 'unknown');
    try {
      return await Promise.race([this.tryAcquire(), over]);
    } finally {
      answered.abort();
    }
  }

  /** Takes or renews the lease. */
  private async tryAcquire(): Promise<Attempt> {
    const { leases, namespace, name, identity, timing, log } = this.options;
    const now = microTime(timing.wallMs());
    try {
      const lease = await this.read();
      if (lease === undefined) {
        await leases.create(namespace, this.body(undefined, now, 0));
        return 'held';
      }
      const holder = lease.spec?.holderIdentity ?? '';
      if (holder !== identity && holder !== '' && !this.hasExpired(lease)) return 'of another';
      const transitions = (lease.spec?.leaseTransitions ?? 0) + (holder === identity ? 0 : 1);
      await leases.replace({ namespace, name }, this.body(lease, now, transitions));
      return 'held';
    } catch (thrown) {
      if (!isKubeFailure(thrown, 'conflict')) {
        const cause = thrown instanceof Error ? thrown.message : String(thrown);
        log.warn('the lease cannot be written', { cause });
      }
      return 'unknown';
    }
  }

  private async read(): Promise<Lease | undefined> {
    const { leases, namespace, name } = this.options;
    try {
      return await leases.get({ namespace, name });
    } catch (thrown) {
      if (isKubeFailure(thrown, 'not_found')) return undefined;
      throw thrown;
    }
  }

  private hasExpired({ metadata, spec }: Lease): boolean {
    const nowMs = this.options.timing.monotonicMs();
    const version = metadata.resourceVersion;
    if (this.seen?.version !== version) this.seen = { version, atMs: nowMs };
    const durationMs = (spec?.leaseDurationSeconds ?? 0) * 1_000 || leaseMs;
    return nowMs - this.seen.atMs > durationMs;
  }

  private body(lease: Lease | undefined, now: string, transitions: number) {
    const { namespace, name, identity } = this.options;
    const isSame = lease?.spec?.holderIdentity === identity;
    return {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata:
        lease === undefined
          ? { namespace, name }
          : { namespace, name, resourceVersion: lease.metadata.resourceVersion },
      spec: {
        holderIdentity: identity,
        leaseDurationSeconds: leaseMs / 1_000,
        acquireTime: isSame ? lease.spec.acquireTime : now,
        renewTime: now,
        leaseTransitions: transitions,
      },
    };
  }

  private async release(): Promise<void> {
    const { leases, namespace, name, identity, log } = this.options;
    try {
      const lease = await this.read();
      if (lease?.spec?.holderIdentity !== identity) return;
      const spec = { ...lease.spec, holderIdentity: '', leaseDurationSeconds: 1 };
      await leases.replace({ namespace, name }, { ...lease, spec });
    } catch (thrown) {
      const cause = thrown instanceof Error ? thrown.message : String(thrown);
      log.warn('the lease was not given up; the next leader waits for it', { cause });
    }
  }
}

/** As MicroTime wants it. */
function microTime(ms: number): string {
  return new Date(ms).toISOString().replace('Z', '000Z');
}
