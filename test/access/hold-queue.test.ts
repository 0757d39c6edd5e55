import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ScopeQuota } from '../../broker/access/quota-state.ts';
import { noQuota, type Quota } from '../../broker/catalog/quota.ts';
import { limits } from '../../broker/core/limits.ts';
import { HeldBack } from '../../broker/server/held-back.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

type Kind = 'publish' | 'deliver';

/** What a stream of the kind asks of its quota, and what it is charged. */
function askedOf(scope: ScopeQuota, clock: VirtualClock, kind: Kind) {
  return kind === 'publish'
    ? {
        hold: (nowMs: number) => scope.publishStreamHold(nowMs),
        charge: (bytes: number) => scope.published(bytes, 1, clock.monotonicMs()),
      }
    : {
        hold: (nowMs: number) => scope.deliveryHold(nowMs),
        charge: (bytes: number) => scope.delivered(bytes, clock.monotonicMs()),
      };
}

/** A stream that passes a frame of its size whenever it may. */
class BusyStream {
  readonly frameBytes: number;
  frames = 0;
  private readonly held: HeldBack;
  private readonly charge: (bytes: number) => void;

  constructor(scope: ScopeQuota, clock: VirtualClock, frameBytes: number, kind: Kind) {
    this.frameBytes = frameBytes;
    const { hold, charge } = askedOf(scope, clock, kind);
    this.charge = charge;
    this.held = new HeldBack(clock, { hold, onHeld: () => {}, onRoom: () => this.go() });
  }

  go(): void {
    while (!this.held.look()) {
      this.charge(this.frameBytes);
      this.frames++;
    }
  }
}

function made(quota: Partial<Quota>) {
  const clock = new VirtualClock();
  const scope = new ScopeQuota('acme', clock);
  scope.change({ ...noQuota, ...quota }, clock.monotonicMs());
  return { clock, scope };
}

describe.each(['publish', 'deliver'] as const)('streams that are held back (%s)', (kind) => {
  const rateOf = (rate: number): Partial<Quota> =>
    kind === 'publish' ? { publishBytesPerSecond: rate } : { deliveryBytesPerSecond: rate };

  it('take turns: over any time all pass as many frames, and together the rate', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 8 }),
        fc.integer({ min: 1_000, max: 200_000 }),
        (streamCount, frameBytes) => {
          const rate = 1_000_000;
          const { clock, scope } = made(rateOf(rate));
          const streams = Array.from(
            { length: streamCount },
            () => new BusyStream(scope, clock, frameBytes, kind),
          );
          for (const stream of streams) stream.go();
          const seconds = 10;
          // The burst is passed by whoever comes first.
          clock.advance(2_000);
          const before = streams.map(({ frames }) => frames);
          clock.advance(seconds * 1_000);
          const each = streams.map(({ frames }, i) => frames - (before[i] ?? 0));
          const usual = Math.max(1, Math.ceil((rate * 0.002) / frameBytes));
          expect(Math.max(...each) - Math.min(...each)).toBeLessThanOrEqual(2 * usual);
          const bytes = each.reduce((sum, frames) => sum + frames, 0) * frameBytes;
          const slack = frameBytes * streamCount + rate * 0.01;
          expect(Math.abs(bytes - rate * seconds)).toBeLessThanOrEqual(slack);
        },
      ),
      { numRuns: 50 },
    );
  });

  it('do not all overdraw the quota at once', () => {
    const rate = 100_000;
    const { clock, scope } = made(rateOf(rate));
    const streams = Array.from({ length: 10 }, () => new BusyStream(scope, clock, rate, kind));
    for (const stream of streams) stream.go();
    // A second's worth each, one a second behind the burst.
    clock.advance(5_500);
    expect(streams.reduce((sum, { frames }) => sum + frames, 0)).toBeLessThanOrEqual(7);
  });

  it('go on together within a second when the quota is taken away, and those that ended do not', () => {
    const { clock, scope } = made(rateOf(10));
    const { hold, charge } = askedOf(scope, clock, kind);
    let passed = 0;
    const streams = Array.from(
      { length: 5 },
      () => new HeldBack(clock, { hold, onHeld: () => {}, onRoom: () => passed++ }),
    );
    charge(1_000_000);
    expect(streams.map((stream) => stream.look())).toEqual([true, true, true, true, true]);
    streams[2]?.end();
    clock.advance(5_000);
    expect(passed).toBe(0);
    scope.change(noQuota, clock.monotonicMs());
    clock.advance(limits.quotaLookMsMax);
    expect(passed).toBe(4);
    expect(streams.map(({ isHeld }) => isHeld)).toEqual([false, false, false, false, false]);
  });

  it('that have nothing to pass keep no turn from others', () => {
    const { clock, scope } = made(rateOf(1_000_000));
    const busy = new BusyStream(scope, clock, 10_000, kind);
    const { hold } = askedOf(scope, clock, kind);
    busy.go();
    const idle = Array.from({ length: 50 }, () => {
      const stream = new HeldBack(clock, { hold, onHeld: () => {}, onRoom: () => {} });
      expect(stream.look()).toBe(true);
      return stream;
    });
    clock.advance(10_000);
    expect(idle.some(({ isHeld }) => isHeld)).toBe(false);
    expect(busy.frames * busy.frameBytes).toBeGreaterThan(0.98 * 10_000_000);
  });
});
