// Tiered storage through the command line, against a real broker whose records leave the disk soon. What is only set-up
// goes through the SDK: a process takes half a second.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect, type Client, type Cluster, type TopicStatus } from '../../client/src/index.ts';
import { BrokerProcess } from '../support/broker-process.ts';
import { runMillrace, type Finished } from '../support/run-millrace.ts';

const count = 1_000;

describe('millrace', () => {
  let broker: BrokerProcess;
  let client: Client;
  let store: string;

  const millrace = (...args: readonly string[]): Promise<Finished> =>
    runMillrace(broker.server, args);

  async function publish(topic: string, records = count): Promise<void> {
    const publisher = client.publisher(topic);
    for (let i = 0; i < records; i++) publisher.send({ value: `line ${i}` });
    await publisher.close();
  }

  const tieringOf = async (topic: string): Promise<object> =>
    (await client.topics.get(topic)).policy.tiering;

  beforeAll(async () => {
    store = await mkdtemp(join(tmpdir(), 'millrace-cli-store-'));
    const soon = ['--hot-bytes', '1', '--retention-interval-ms', '50'];
    const args = ['--object-store', `file://${store}`, '--generation-bytes', '1M', ...soon];
    broker = await BrokerProcess.start({ args });
    client = connect({ server: broker.server });
  });

  afterAll(async () => {
    await client.close();
    await broker[Symbol.asyncDispose]();
    await rm(store, { recursive: true, force: true });
  });

  it('sets how much stays hot, and changes only the limit that is named', async () => {
    const hotBytes = 10 * 1024 ** 3;
    await millrace('topic', 'create', 'windows', '--hot-age', '6h', '--hot-bytes', '10G');
    expect(await tieringOf('windows')).toEqual({ hotAgeMs: 21_600_000, hotBytes });
    const altered = await millrace('topic', 'alter', 'windows', '--hot-age', '0');
    expect(altered.stdout).toBe('tiering.hot_age_ms: 21600000 -> 0\n');
    expect(await tieringOf('windows')).toEqual({ hotAgeMs: 0, hotBytes });
    const planned = await millrace('topic', 'alter', 'windows', '--hot-bytes', '0', '--dry-run');
    expect(planned.stdout).toBe('would tiering.hot_bytes: 10737418240 -> 0\n');
    expect(await tieringOf('windows')).toEqual({ hotAgeMs: 0, hotBytes });
    const wrong = await millrace('topic', 'alter', 'windows', '--hot-age', 'soon');
    expect([wrong.code, wrong.stdout]).toEqual([2, '']);
    expect(wrong.stderr).toContain('--hot-age');
  });

  it('offloads on demand, and shows what is cold, what is hot and what only the disk has', async () => {
    await client.topics.apply('moved');
    await publish('moved');
    const { stdout: said } = await millrace('topic', 'offload', 'moved', '--wait');
    expect(said).toMatch(/^offloaded moved: \S+ KiB in the object store, 0 records only on the/);
    await client.topics.apply('filler');
    const partitionNow = async () => (await client.topics.get('moved')).partitions[0];
    await expect
      .poll(
        async () => {
          // A file leaves the disk when a checkpoint in a later one has made replay independent of it.
          await publish('filler', 1);
          await client.topics.offload('filler', { wait: true });
          return (await partitionNow())?.hotStartOffset;
        },
        { timeout: 5_000 },
      )
      .toBe(count);
    await publish('moved');
    expect((await millrace('topic', 'describe', 'moved')).stdout).toMatch(
      /COLD +HOT +ONLY ON DISK .*\n.* 0\.\.999 +1000\.\.1999 +1000\.\.1999 /,
    );
    const described = await millrace('topic', 'describe', 'moved', '-o', 'json');
    expect(JSON.parse(described.stdout)).toEqual(await client.topics.get('moved'));
  });

  it('leaves an offload to the broker when it is not waited for', async () => {
    await client.topics.apply('behind');
    await publish('behind');
    const { stdout } = await millrace('topic', 'offload', 'behind', '-o', 'json');
    const answered = JSON.parse(stdout) as TopicStatus;
    expect(answered).toMatchObject({ topic: 'behind', wait: false });
    expect(answered.partitions).toHaveLength(1);
    await expect
      .poll(async () => (await client.topics.get('behind')).partitions[0])
      .toMatchObject({ offloadedEndOffset: count });
  });

  it('says that a topic to offload is not there', async () => {
    const missing = await millrace('topic', 'offload', 'nowhere', '--wait');
    expect([missing.code, missing.stdout]).toEqual([3, '']);
    expect(missing.stderr).toContain('TOPIC_NOT_FOUND');
  });

  it('says that the store fails, and shows how far offload is behind until it has caught up', async () => {
    // Where segments go is a file: nothing can be written below it.
    const segments = join(store, 'tenants');
    await rm(segments, { recursive: true, force: true });
    await writeFile(segments, '');
    await client.topics.apply('stuck');
    await publish('stuck');
    const failed = await millrace('topic', 'offload', 'stuck', '--wait');
    expect([failed.code, failed.stdout]).toEqual([6, '']);
    expect(failed.stderr).toContain('STORE_FAILED');
    const behind = (await millrace('cluster')).stdout;
    expect(behind).toContain(`store    file://${store}\n`);
    expect(behind).toMatch(/TO OFFLOAD +ONLY ON DISK FOR +CHECKPOINT AGE\n/);
    expect(behind).toMatch(/\n0 .* [\d.]+ KiB +\d+s +\d+s\n/);
    expect(behind).toContain('\nthe last offload of shard 0 failed: ');

    await rm(segments);
    await client.topics.offload('stuck', { wait: true });
    const caughtUp = JSON.parse((await millrace('cluster', '-o', 'json')).stdout) as Cluster;
    expect(caughtUp.objectStore).toBe(`file://${store}`);
    const shard = caughtUp.shards.find(({ name }) => name === '0');
    expect(shard).toMatchObject({
      unoffloadedBytes: 0,
      unoffloadedSinceMs: 0,
      offloadFailure: '',
    });
    expect(shard?.checkpointUploadedMs).toBeGreaterThan(0);
  });
});
