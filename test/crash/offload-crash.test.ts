// Kills a real broker at every step of an offload, of a dropped generation, of a checkpoint and of garbage collection,
// under load, and checks that nothing confirmed was lost or repeated and that nothing is left over in the store.
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tenantId } from '../../broker/core/ids.ts';
import { fsckAt, type FsckReport } from '../../broker/fsck.ts';
import { tierObjectKey } from '../../broker/tier/object-names.ts';
import { connect, type Client } from '../../client/src/index.ts';
import { BrokerProcess } from '../support/broker-process.ts';
import { CrashLoad } from './crash-load.ts';
import { itKeptItsPromises } from './kept-promises.ts';
import { tieringArgs, tieringSteps } from './tiering-steps.ts';

describe('a broker killed at each step of tiering, under load', () => {
  let broker: BrokerProcess;
  let client: Client;
  let load: CrashLoad;
  const reached: string[] = [];

  beforeAll(async () => {
    broker = await BrokerProcess.start({
      program: join(import.meta.dirname, 'broker-with-fail-point.ts'),
      args: tieringArgs,
    });
    client = connect({ server: broker.server });
    load = await CrashLoad.start(client);
    for (const [i, point] of tieringSteps.entries()) {
      await broker.kill('SIGKILL');
      if (point.startsWith('garbage')) await leaveOrphan(broker.dataDir, i);
      // It may die before it is ready.
      const nth = point.startsWith('garbage') ? 1 : 1 + (i % 2);
      await broker.restart({ FAIL_POINT: `${point}:${nth}` }).catch(() => undefined);
      if (await endsWithin(broker, 20_000)) reached.push(point);
      await broker.kill('SIGKILL');
      await broker.restart();
    }
    await load.finish();
  }, 240_000);

  afterAll(async () => {
    await client.close();
    await broker[Symbol.asyncDispose]();
  });

  it('died at every step', () => {
    expect(reached).toEqual(tieringSteps);
    expect(load.published.length).toBeGreaterThan(1_000);
  });

  itKeptItsPromises(() => load);

  it('left nothing in the store that nobody refers to, and nothing damaged', async () => {
    const topic = await client.topics.get(load.topic);
    expect(topic.coldBytes).toBeGreaterThan(1_000_000);
    await expect
      .poll(async () => leftOver(await look()), { timeout: 20_000, interval: 200 })
      .toEqual({ orphans: 0, unreferenced: 0, isClean: true });
  }, 30_000);

  function look(): Promise<FsckReport> {
    const url = `file://${join(broker.dataDir, 'objects')}`;
    return fsckAt(url, {}, { isFast: false, nowMs: 0, progress: () => {} });
  }
});

/** An object of the first epoch that nobody refers to, as a crash leaves it. */
async function leaveOrphan(dataDir: string, i: number): Promise<void> {
  const kind = 'segment';
  const tenant = tenantId(1);
  const key = tierObjectKey({ kind, tenant, shard: '0', epoch: 1, number: 1_000_000 + i });
  const path = join(dataDir, 'objects', key);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, 'left by a crash');
}

/** Whether it dies by itself. */
async function endsWithin(broker: BrokerProcess, ms: number): Promise<boolean> {
  const timeout = new Promise<false>((resolve) => setTimeout(() => resolve(false), ms).unref());
  return Promise.race([broker.exited().then(() => true), timeout]);
}

function leftOver({ findings, recent, isClean }: FsckReport) {
  const orphans = findings.filter(({ kind }) => kind === 'orphan').length;
  return { orphans, unreferenced: recent, isClean };
}
