// A bit flips on the disk before a record is offloaded: what is damaged is never passed off as good by a checksum of
// its own in the object store, and holds up nothing but itself.
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { connect, MillraceError, type Client } from '../../client/src/index.ts';
import { BrokerProcess } from '../support/broker-process.ts';

const small = ['--generation-bytes', '1M', '--retention-interval-ms', '50'];
const args = [...small, '--hot-bytes', '1'];
const valueBytes = 16 * 1024;
const count = 200;
const damagedNumber = 20;

let dataDir = '';

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'millrace-offload-damage-'));
});

afterEach(() => rm(dataDir, { recursive: true, force: true }));

describe('a bit that flips in a sealed record before it is offloaded', () => {
  beforeEach(async () => {
    await using broker = await BrokerProcess.start({ dataDir, args: small });
    await using client = connect({ server: broker.server });
    for (const topic of ['t', 'u']) {
      await client.topics.apply(topic, { retention: forever });
      await publish(client, topic);
    }
    await client.close();
    await broker.kill('SIGTERM');
    await flipBitIn(valueOf('t', damagedNumber));
  });

  it('stays damage: DATA_LOSS for that record, and never its wrong bytes', async () => {
    await using broker = await BrokerProcess.start({ dataDir, args });
    await using client = connect({ server: broker.server });
    await client.topics.offload('t', { wait: true }).catch(() => {});
    // Files leave the disk when a checkpoint in a later one has made replay independent of them.
    for (let round = 0; round < 5; round++) {
      await publish(client, 'u');
      await client.topics.offload('u', { wait: true });
    }
    const [partition] = (await client.topics.get('t')).partitions;
    expect(partition).toMatchObject({ hotStartOffset: 0, offloadedEndOffset: 0 });
    const { seen, failure } = await readFrom(client, 't', 0);
    expect(seen).toEqual(valuesOf('t', 0, damagedNumber));
    expect(failure?.reason).toBe('DATA_LOSS');
    const rest = await readFrom(client, 't', damagedNumber + 1);
    expect(rest.seen).toEqual(valuesOf('t', damagedNumber + 1, count));
  }, 30_000);

  it('does not keep other topics from the object store', async () => {
    await using broker = await BrokerProcess.start({ dataDir, args });
    await using client = connect({ server: broker.server });
    const refusal: unknown = await client.topics
      .offload('t', { wait: true })
      .catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(MillraceError);
    await client.topics.offload('u', { wait: true });
    const [partition] = (await client.topics.get('u')).partitions;
    expect(partition).toMatchObject({ offloadedEndOffset: count });
  }, 30_000);
});

const forever = { ageMs: 0, bytes: 0, forever: true, unackedAgeMs: 0 };

function valueOf(topic: string, i: number): string {
  return `${topic} ${i} `.padEnd(valueBytes, 'x');
}

function valuesOf(topic: string, from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, i) => valueOf(topic, from + i));
}

/** Every record in a batch of its own. */
async function publish(client: Client, topic: string): Promise<void> {
  const publisher = client.publisher(topic, { batchBytes: 1 });
  await Promise.all(valuesOf(topic, 0, count).map((value) => publisher.publish({ value })));
  await publisher.close();
}

async function readFrom(client: Client, topic: string, offset: number) {
  const seen: string[] = [];
  const reader = client.reader(topic, { from: { offset }, stopAtEnd: true });
  try {
    for await (const record of reader) seen.push(record.text());
  } catch (error) {
    if (error instanceof MillraceError) return { seen, failure: error };
    throw error;
  }
  return { seen, failure: undefined };
}

/** Flips a bit in the middle of a value, wherever the journal has it. */
async function flipBitIn(value: string): Promise<void> {
  const directory = join(dataDir, '0');
  for (const name of await readdir(directory)) {
    if (!name.endsWith('.mdb')) continue;
    const path = join(directory, name);
    const bytes = await readFile(path);
    const at = bytes.indexOf(value);
    if (at < 0) continue;
    const middle = at + valueBytes / 2;
    bytes[middle] = (bytes[middle] ?? 0) ^ 0x10;
    await writeFile(path, bytes);
    return;
  }
  throw new Error('no journal file holds the value');
}
