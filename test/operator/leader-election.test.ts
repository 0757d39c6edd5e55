import { expect, it } from 'vitest';
import { KubeError } from '../../operator/kube/kube-error.ts';
import type { Resource } from '../../operator/kube/resource.ts';
import { LeaderElection, type Lease } from '../../operator/runtime/leader-election.ts';
import type { Timing } from '../../operator/runtime/timing.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

/** Sleeps on the virtual clock. */
function timingOf(time: VirtualClock): Timing {
  return {
    wallMs: () => time.wallMs(),
    monotonicMs: () => time.monotonicMs(),
    draw: () => 0,
    sleep: (ms, signal) =>
      new Promise((resolve) => {
        const timer = time.after(ms, resolve);
        signal.addEventListener('abort', () => {
          timer.cancel();
          resolve();
        });
      }),
  };
}

/** A lease at an API server that answers, hangs, or gives it to somebody else. */
class FakeLeases {
  state: 'answers' | 'hangs' | 'taken' = 'answers';
  private lease: Lease | undefined;
  private version = 0;

  async get(): Promise<Lease> {
    if (this.state === 'hangs') await new Promise(() => {});
    if (this.lease === undefined) throw new KubeError('not_found', 'no lease');
    if (this.state !== 'taken') return this.lease;
    return { ...this.lease, spec: { ...this.lease.spec, holderIdentity: 'another' } };
  }

  create = (_: string, body: Lease): Promise<Lease> => this.replace(undefined, body);

  async replace(_: unknown, body: Lease): Promise<Lease> {
    const metadata = { ...body.metadata, resourceVersion: String(++this.version) };
    this.lease = { ...body, metadata };
    return Promise.resolve(this.lease);
  }
}

/** Leads; answers when it was told to stop and how it ended. */
function lead(leases: FakeLeases, time: VirtualClock) {
  const silent = { info() {}, warn() {}, error() {} };
  const election = new LeaderElection({
    leases: leases as unknown as Resource<Lease>,
    ...{ namespace: 'n', name: 'l', identity: 'me', timing: timingOf(time), log: silent },
  });
  const seen: { startedMs?: number; stoppedMs?: number; failure?: unknown } = {};
  const done = election
    .run(new AbortController().signal, (signal) => {
      seen.startedMs = time.monotonicMs();
      return new Promise((resolve) => {
        signal.addEventListener('abort', () => {
          seen.stoppedMs = time.monotonicMs();
          resolve();
        });
      });
    })
    .catch((thrown: unknown) => (seen.failure = thrown));
  return { seen, done };
}

async function pass(time: VirtualClock, ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 100) {
    time.advance(100);
    for (let i = 0; i < 20; i++) await Promise.resolve();
  }
}

it('stops who cannot renew 10 s after the last time it asked with success, though a call hangs', async () => {
  const [leases, time] = [new FakeLeases(), new VirtualClock()];
  const { seen, done } = lead(leases, time);
  await pass(time, 5_000);
  expect(seen.startedMs).toBeDefined();
  leases.state = 'hangs';
  await pass(time, 20_000);
  await done;
  const sinceRenewedMs = (seen.stoppedMs ?? Number.NaN) - (seen.startedMs ?? 0);
  expect(sinceRenewedMs).toBeLessThanOrEqual(14_100);
  expect(sinceRenewedMs).toBeGreaterThan(10_000);
  expect(String(seen.failure)).toContain('the lease of the leader was lost');
});

it('stops at once who sees another holder', async () => {
  const [leases, time] = [new FakeLeases(), new VirtualClock()];
  const { seen, done } = lead(leases, time);
  await pass(time, 1_000);
  leases.state = 'taken';
  await pass(time, 2_000);
  await done;
  expect(seen.stoppedMs).toBeLessThanOrEqual((seen.startedMs ?? 0) + 2_500);
});
