// `npm run demo`: starts a broker with fresh data, then publishes, replays and works through 100,000 orders.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from '../../client/src/index.ts';
import { writeOrders } from './generate.ts';
import { ingest, replay, workThrough } from './pipeline.ts';

const orders = 100_000;
const directory = await mkdtemp(join(tmpdir(), 'millrace-demo-'));
const broker = spawn(
  process.execPath,
  [
    join(import.meta.dirname, '..', '..', 'cli', 'main.ts'),
    'start',
    ...['--listen', '127.0.0.1:0', '--http-listen', '127.0.0.1:0', '--log-level', 'warn'],
    ...['--data-dir', join(directory, 'data')],
  ],
  { stdio: ['ignore', 'pipe', 'inherit'] },
);
try {
  const file = join(directory, 'orders.jsonl');
  const { bytes } = await writeOrders({ orders, seed: 7, file });
  say(`made ${orders} orders, ${megabytes(bytes)}`);
  const server = await readyAddress();
  say(`started a broker on ${server}`);

  await using client = connect({ server });
  await client.topics.apply('orders', { partitions: 4 });
  const published = await timed('published', () => ingest(client, 'orders', file));
  const replayed = await timed('replayed', () => replay(client, 'orders'));
  const same = replayed.checksum === published.checksum ? 'the same' : 'ANOTHER';
  say(`  ${replayed.records} records, ${replayed.outOfOrder} out of order, ${same} checksum`);
  const worked = await timed('worked through', () =>
    workThrough(client, 'orders', 'billing', orders),
  );
  say(`  ${worked.done} done, ${worked.failed} failed once and were done by another attempt`);
  if (replayed.checksum !== published.checksum || worked.done !== orders) process.exitCode = 1;
} finally {
  broker.kill('SIGTERM');
  if (broker.exitCode === null) await once(broker, 'exit');
  await rm(directory, { recursive: true, force: true });
}

async function readyAddress(): Promise<string> {
  let output = '';
  for await (const chunk of broker.stdout) {
    output += String(chunk);
    const address = /millrace ready grpc=(\S+)/.exec(output)?.[1];
    if (address !== undefined) return address;
  }
  throw new Error('the broker did not start');
}

async function timed<T>(what: string, run: () => Promise<T>): Promise<T> {
  const startMs = performance.now();
  const result = await run();
  say(`${what} in ${((performance.now() - startMs) / 1000).toFixed(1)} s`);
  return result;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
