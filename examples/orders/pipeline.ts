// The main job on a real event file, in three steps: publish it, replay it into a checksum, work through it.
// Written for reading: it uses nothing but the public client.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Client } from '../../client/src/index.ts';

export interface Ingested {
  readonly records: number;
  readonly bytes: number;
  /** Of all lines in the order of the file, per key: what a replay must come to. */
  readonly checksum: string;
}

export interface Replayed {
  readonly records: number;
  readonly checksum: string;
  /** Records whose offset did not follow the one before it in their partition. */
  readonly outOfOrder: number;
}

export interface WorkedThrough {
  /** Records whose handler succeeded; each counts once. */
  readonly done: number;
  /** Times a handler failed and its record was given back. */
  readonly failed: number;
  /** Records that were delivered again after their handler had succeeded and their ack was sent. */
  readonly repeatedAfterAck: number;
}

/** Publishes every line of the file, keyed by its customer, so that a customer's orders stay in order. */
export async function ingest(client: Client, topic: string, file: string): Promise<Ingested> {
  const publisher = client.publisher(topic);
  const checksum = new KeyedChecksum();
  let records = 0;
  let bytes = 0;
  for await (const line of createInterface({ input: createReadStream(file) })) {
    const key = customerOf(line);
    publisher.send({ key, value: line });
    checksum.add(key, line);
    records++;
    bytes += Buffer.byteLength(line);
    // Undefined while there is room: then go on without waiting.
    const full = publisher.ready();
    if (full !== undefined) await full;
  }
  // Every record is on the broker's disk when this resolves.
  await publisher.flush();
  await publisher.close();
  return { records, bytes, checksum: checksum.digest() };
}

/** Reads the topic from its beginning to its present end. */
export async function replay(client: Client, topic: string): Promise<Replayed> {
  const checksum = new KeyedChecksum();
  const next = new Map<number, number>();
  let records = 0;
  let outOfOrder = 0;
  const reader = client.reader(topic, { from: 'earliest', stopAtEnd: true });
  for await (const record of reader) {
    if (record.offset !== (next.get(record.partition) ?? 0)) outOfOrder++;
    next.set(record.partition, record.offset + 1);
    checksum.add(record.key.toString(), record.text());
    records++;
  }
  return { records, checksum: checksum.digest(), outOfOrder };
}

/** Works through the topic with four workers; the last one fails on every 50th record it gets. */
export async function workThrough(
  client: Client,
  topic: string,
  subscription: string,
  expected: number,
): Promise<WorkedThrough> {
  await client.subscriptions.apply(topic, subscription, { kind: 'queue', start: 'earliest' });
  const done = new Set<string>();
  let failed = 0;
  let repeatedAfterAck = 0;
  let finish: () => void = () => {};
  const finished = new Promise<void>((resolve) => (finish = resolve));
  const workers = [1, 2, 3, 4].map((number) => {
    let taken = 0;
    return client.consume(
      topic,
      subscription,
      async (order) => {
        if (number === 4 && ++taken % 50 === 0) {
          failed++;
          throw new Error('this worker fails now and then; the broker gives the order to another');
        }
        const position = `${order.partition}/${order.offset}`;
        if (done.has(position)) repeatedAfterAck++;
        done.add(position);
        if (done.size === expected) finish();
      },
      { concurrency: 64 },
    );
  });
  await finished;
  await Promise.all(workers.map((worker) => worker.close()));
  return { done: done.size, failed, repeatedAfterAck };
}

/** A checksum that depends on the order of records within a key, and on no other order. */
class KeyedChecksum {
  private readonly byKey = new Map<string, ReturnType<typeof createHash>>();

  add(key: string, value: string): void {
    let hash = this.byKey.get(key);
    if (hash === undefined) this.byKey.set(key, (hash = createHash('sha256')));
    hash.update(value).update('\n');
  }

  digest(): string {
    const all = createHash('sha256');
    for (const key of [...this.byKey.keys()].sort()) {
      all.update(key).update(this.byKey.get(key)?.digest() ?? '');
    }
    return all.digest('hex');
  }
}

function customerOf(line: string): string {
  const { customer } = JSON.parse(line) as { customer?: unknown };
  if (typeof customer === 'string') return customer;
  throw new Error(`a line without a customer: ${line.slice(0, 100)}`);
}
