import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { writeOrders } from '../../examples/orders/generate.ts';
import { generateOrders } from '../../examples/orders/order.ts';
import { withTemporaryDirectory } from '../support/temporary-directory.ts';

const options = { orders: 20_000, seed: 7 };

describe('generated orders', () => {
  const all = [...generateOrders(options)];

  it('are numbered, never go back in time, and add up', () => {
    let last = '';
    all.forEach(({ order, placedAt, items, totalCents }, index) => {
      expect(order).toBe(index + 1);
      expect(placedAt >= last).toBe(true);
      last = placedAt;
      const sum = items.reduce((cents, item) => cents + item.quantity * item.priceCents, 0);
      expect(totalCents).toBe(sum);
    });
  });

  it('come from many customers, of which a few order much', () => {
    const counts = new Map<string, number>();
    for (const { customer } of all) counts.set(customer, (counts.get(customer) ?? 0) + 1);
    const sorted = [...counts.values()].sort((a, b) => b - a);
    expect(sorted.length).toBeGreaterThan(5_000);
    const firstHundredth = sorted.slice(0, sorted.length / 100);
    const theirs = firstHundredth.reduce((sum, count) => sum + count, 0);
    expect(theirs / all.length).toBeGreaterThan(0.15);
  });

  it('are the same bytes for the same seed, and others for another one', async () => {
    const [first, again, other] = await Promise.all([
      digestOf(options),
      digestOf(options),
      digestOf({ ...options, seed: 8 }),
    ]);
    expect(again).toBe(first);
    expect(other).not.toBe(first);
  });

  it('are written a line each, as many bytes as are told', async () => {
    await withTemporaryDirectory(async (directory) => {
      const file = join(directory, 'orders.jsonl');
      const { orders, bytes } = await writeOrders({ ...options, file });
      const text = await readFile(file, 'utf8');
      expect(Buffer.byteLength(text)).toBe(bytes);
      const lines = text.trimEnd().split('\n');
      expect(lines).toHaveLength(orders);
      expect(lines.map((line): unknown => JSON.parse(line))).toEqual(all);
    });
  });
});

function digestOf(wanted: typeof options): Promise<string> {
  return withTemporaryDirectory(async (directory) => {
    const file = join(directory, 'orders.jsonl');
    await writeOrders({ ...wanted, file });
    return createHash('sha256')
      .update(await readFile(file))
      .digest('hex');
  });
}
