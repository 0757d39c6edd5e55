// Publishing stops before the disk is full, counting what was admitted since the last look.
import { describe, expect, it } from 'vitest';
import { DiskGuard, publishReserveBytes } from '../../broker/shard/disk-guard.ts';
import { reasonOf } from '../support/reason-of.ts';

const MiB = 1024 ** 2;

describe('the disk guard', () => {
  it('admits what fits above the reserve, and refuses the rest until it has looked again', async () => {
    let freeBytes = 30 * MiB;
    const guard = new DiskGuard(async () => ({ totalBytes: 100 * MiB, freeBytes }));
    await guard.refresh(0);
    guard.admit(20 * MiB);
    expect(reasonOf(() => guard.admit(3 * MiB))).toBe('DISK_FULL');
    freeBytes = 60 * MiB;
    await guard.refresh(0);
    guard.admit(3 * MiB);
  });

  it('counts what was admitted and is not written yet', async () => {
    const guard = new DiskGuard(async () => ({ totalBytes: 100 * MiB, freeBytes: 30 * MiB }));
    await guard.refresh(21 * MiB);
    expect(reasonOf(() => guard.admit(2 * MiB))).toBe('DISK_FULL');
  });

  it('keeps a twentieth of the volume, within bounds', () => {
    expect(publishReserveBytes(64 * MiB)).toBe(8 * MiB);
    expect(publishReserveBytes(1_000 * MiB)).toBe(50 * MiB);
    expect(publishReserveBytes(10 ** 13)).toBe(1024 * MiB);
  });
});
