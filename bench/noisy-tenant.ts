// A tenant that tries so many times its quota in everything at once, in a process of its own so that it slows nobody
// but the broker: `node noisy-tenant.ts HOST:PORT TOPIC TIMES`, until SIGTERM. Its quota is `noisyQuota`.
import { connect, type Client } from '../client/src/index.ts';
import { noisyQuota, valueBytes } from './noisy-quota.ts';
import { atRate } from './workloads/fixed-rate.ts';

const publishingConnections = 4;
const [server = '', topic = '', timesText = '1'] = process.argv.slice(2);
const times = Number(timesText);
const { publishBytesPerSecond, connections, adminCallsPerSecond } = noisyQuota;

process.once('SIGTERM', () => process.exit(0));
const admin = connect({ server });
const clients = Array.from({ length: publishingConnections }, () => connect({ server }));
// Before the others have used up its connections.
await Promise.all(clients.map((client) => client.publisher(topic).publish({ value: 'first' })));
const readers = connections * times - publishingConnections;
process.stdout.write('begins\n');
await Promise.all([
  ...clients.map((client) => publish(client)),
  ...Array.from({ length: readers }, () => open(connect({ server }))),
  call(),
]);

/** Bytes, and with values of this size records too, over all its connections, as far as the broker reads them. */
async function publish(client: Client): Promise<void> {
  const publisher = client.publisher(topic);
  const value = Buffer.alloc(valueBytes, 'n');
  const perSecond = (times * publishBytesPerSecond) / valueBytes / publishingConnections;
  const send = async () => {
    publisher.send({ value });
    await publisher.ready();
  };
  await atRate(perSecond, send, () => false);
}

/** A connection with a reader; those beyond the quota are refused, and come again. */
async function open(client: Client): Promise<void> {
  for (;;) {
    try {
      for await (const _ of client.reader(topic, { from: 'latest' }));
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 1_000));
    }
  }
}

function call(): Promise<void> {
  // Those beyond the quota are refused.
  const ask = () => void admin.topics.get(topic).catch(() => {});
  return atRate(times * adminCallsPerSecond, ask, () => false);
}
