// Connections that die without a word to either side, as behind a NAT that forgets them: everything of a client goes
// on by itself, and what it held is given to others.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { limits } from '../../broker/core/limits.ts';
import { connect, type Client, type SubscriptionKind } from '../../client/src/index.ts';
import { connectionLimits } from '../../client/src/connection.ts';
import { BrokerProcess } from '../support/broker-process.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

/** Until the broker notices, it hands records to whoever is not there any more. */
const brokerNoticesMs = limits.keepaliveIntervalMs + limits.keepaliveTimeoutMs;
const clientNoticesMs = connectionLimits.keepaliveIntervalMs + connectionLimits.keepaliveTimeoutMs;
/** For the back-off of the client, and a busy machine. */
const slackMs = 10_000;
const kinds: readonly SubscriptionKind[] = ['queue', 'keyed_queue', 'stream'];

let broker: BrokerProcess;
let proxy: TcpProxy;
/** Behind the proxy. */
let client: Client;
let direct: Client;

beforeAll(async () => {
  broker = await BrokerProcess.start();
  proxy = await TcpProxy.start(broker.server);
  client = connect({ server: proxy.address });
  direct = connect({ server: broker.server });
  for (const kind of kinds) {
    await direct.topics.apply(kind);
    await direct.subscriptions.apply(kind, 'work', { kind, start: 'earliest' });
  }
});

afterAll(async () => {
  await client.close();
  await direct.close();
  await proxy[Symbol.asyncDispose]();
  await broker[Symbol.asyncDispose]();
});

it('a client whose connection is half-open consumes, reads and publishes again by itself', async () => {
  const seenAtMs = new Map<string, number>();
  const seen = (what: string): void => void seenAtMs.set(what, performance.now());
  const publish = async (value: string): Promise<void> => {
    for (const kind of kinds) await direct.publisher(kind).publish({ key: value, value });
  };
  for (const kind of kinds) client.consume(kind, 'work', (m) => seen(`${kind} ${m.text()}`));
  const reader = client.reader('stream', { from: 'earliest' });
  const reading = (async () => {
    for await (const record of reader) seen(`reader ${record.text()}`);
  })();
  const publisher = client.publisher('queue');
  await publish('before');
  await publisher.publish({ value: 'own before' });
  await expect.poll(() => [...seenAtMs.keys()]).toContain('reader before');
  await expect.poll(() => [...seenAtMs.keys()]).toContain('stream before');

  proxy.swallow();
  const lostAtMs = performance.now();
  await publish('after');
  const published = publisher.publish({ value: 'own after' }).then(() => seen('published'));
  const goesOn = [...kinds.map((kind) => `${kind} after`), 'reader after', 'published'];
  await expect
    .poll(() => goesOn.filter((what) => !seenAtMs.has(what)), {
      timeout: brokerNoticesMs + slackMs,
      interval: 50,
    })
    .toEqual([]);
  await published;
  const tookMs = (what: string): number => (seenAtMs.get(what) ?? Infinity) - lostAtMs;
  for (const what of ['reader after', 'published']) {
    expect(tookMs(what), what).toBeLessThan(clientNoticesMs + slackMs);
  }
  await reader.close();
  await reading;
}, 120_000);
