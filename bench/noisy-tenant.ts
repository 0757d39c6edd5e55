// A tenant that tries ten times its quota in everything at once, in a process of its own so that it slows nobody but
// the broker: `node noisy-tenant.ts HOST:PORT TOPIC`, until SIGTERM. Its quota is `noisyQuota`.
import { connect, type Client } from '../client/src/index.ts';
import { noisyQuota, noisyValueBytes } from './noisy-quota.ts';

const times = 10;
const publishingConnections = 4;
const [server = '', topic = ''] = process.argv.slice(2);
const { publishBytesPerSecond, connections, adminCallsPerSecond } = noisyQuota;

process.once('SIGTERM', () => process.exit(0));
const admin = connect({ server });
const clients = Array.from({ length: publishingConnections }, () => connect({ server }));
// Before the others have used up its connections.
await Promise.all(clients.map((client) => client.publisher(topic).publish({ value: 'first' })));
await Promise.all([
  ...clients.map((client) => publish(client)),
  ...Array.from({ length: connections * times }, () => open(connect({ server }))),
  call(),
]);

/** Bytes, and with values of this size records too, over all its connections, as far as the broker reads them. */
async function publish(client: Client): Promise<void> {
  const publisher = client.publisher(topic);
  const value = Buffer.alloc(noisyValueBytes, 'n');
  const perSecond = (times * publishBytesPerSecond) / noisyValueBytes / publishingConnections;
  await atRate(perSecond, async () => {
    publisher.send({ value });
    await publisher.ready();
  });
}

/** A connection with a reader; most are refused, and come again. */
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
  return atRate(times * adminCallsPerSecond, () => {
    // Most are refused.
    void admin.topics.get(topic).catch(() => {});
  });
}

async function atRate(perSecond: number, act: () => Promise<void> | void): Promise<never> {
  const startMs = performance.now();
  for (let done = 0; ;) {
    const due = ((performance.now() - startMs) * perSecond) / 1_000;
    for (; done < due; done++) await act();
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}
