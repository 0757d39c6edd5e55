// A queue that is always drained takes bounded room, on the disk and in the object store, however much goes through.
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { TieredBroker, valueOf } from '../support/tiered-broker.ts';

const MiB = 1024 * 1024;
const [rounds, warmUpRounds, recordsPerRound] = [12, 6, 1_500];
/** Two files of the journal, the catalog's, and room for what is on its way out. */
const roomMax = 8 * MiB;

it('a queue that is always drained does not grow, on disk or in the object store', async () => {
  await using tiered = await TieredBroker.start();
  const { client, directory } = tiered;
  const retention = { ageMs: 200, bytes: 0, forever: false, unackedAgeMs: 0 };
  await client.topics.apply('through', { retention });
  await client.subscriptions.apply('through', 'work', { kind: 'queue' });
  const work = client.consume('through', 'work', () => {}, { concurrency: 64 });
  const publisher = client.publisher('through');
  const backlog = async () => (await client.subscriptions.get('through', 'work')).partitions[0];
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < recordsPerRound; i++) publisher.send({ value: valueOf(i) });
    await publisher.flush();
    await expect.poll(backlog, { timeout: 10_000 }).toMatchObject({ backlog: 0, inFlight: 0 });
    // What is on its way out is gone soon, round after round.
    const taken = (): Promise<number> => bytesOf(directory);
    if (round >= warmUpRounds) await expect.poll(taken, { timeout: 15_000 }).toBeLessThan(roomMax);
  }
  const throughBytes = rounds * recordsPerRound * 1_000;
  expect(throughBytes).toBeGreaterThan(1.5 * roomMax);
  // Nothing of it is left in the store when the last file that held it is gone.
  await publisher.publish({ value: 'last' });
  await client.topics.offload('through', { wait: true });
  await expect.poll(() => tiered.segmentPaths(), { timeout: 15_000 }).toEqual([]);
  await work.close();
}, 120_000);

/** What its files take on the disk, objects included; those of the journal are sparse. */
async function bytesOf(directory: string): Promise<number> {
  const names = await readdir(directory, { recursive: true });
  let bytes = 0;
  for (const name of names) {
    const found = await stat(join(directory, name)).catch(() => undefined);
    if (found?.isFile() === true) bytes += found.blocks * 512;
  }
  return bytes;
}
