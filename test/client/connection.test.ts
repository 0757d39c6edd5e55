import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Connection } from '../../client/src/connection.ts';
import { ClusterService } from '../../proto/gen/millrace/v1/cluster_pb.ts';
import { SubscriptionService } from '../../proto/gen/millrace/v1/subscription_pb.ts';
import { TopicService } from '../../proto/gen/millrace/v1/topic_pb.ts';
import { BrokerProcess } from '../support/broker-process.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

let broker: BrokerProcess;
let proxy: TcpProxy;

beforeAll(async () => {
  broker = await BrokerProcess.start();
  proxy = await TcpProxy.start(broker.server);
});

afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  await broker[Symbol.asyncDispose]();
});

describe('a unary call', () => {
  it('that reads is made again until the broker can be reached', async () => {
    proxy.setAccepting(false);
    const connection = new Connection(proxy.address, 'test');
    const asked = connection.unary(ClusterService.method.getCluster, {});
    const { browseSubscription } = SubscriptionService.method;
    const browsed = connection.unary(browseSubscription, { topic: 'nowhere', name: 'none' });
    const refused = expect(browsed).rejects.toMatchObject({ reason: 'TOPIC_NOT_FOUND' });
    await new Promise((resolve) => setTimeout(resolve, 300));
    proxy.setAccepting(true);
    expect((await asked).brokers).toHaveLength(1);
    await refused;
    connection.close();
  });

  it('is not held up by a connection that leads nowhere', async () => {
    await using nowhere = await TcpProxy.start(broker.server);
    nowhere.setAnswersPass(false);
    const connection = new Connection(nowhere.address, 'test');
    const asked = connection.unary(ClusterService.method.getCluster, {});
    await expect.poll(() => nowhere.connectionCount).toBe(1);
    nowhere.swallow();
    nowhere.setAnswersPass(true);
    expect((await asked).brokers).toHaveLength(1);
    connection.close();
  });

  it('that changes something is not made again', async () => {
    proxy.setAccepting(false);
    const connection = new Connection(proxy.address, 'test');
    const applied = connection.unary(TopicService.method.applyTopic, { name: 'once', spec: {} });
    await expect(applied).rejects.toMatchObject({ kind: 'unavailable', reason: 'UNREACHABLE' });
    proxy.setAccepting(true);
    connection.close();
  });

  it("fails with the broker's reason", async () => {
    const connection = new Connection(broker.server, 'test');
    const asked = connection.unary(TopicService.method.getTopic, { name: 'nowhere' });
    await expect(asked).rejects.toMatchObject({
      kind: 'missing',
      reason: 'TOPIC_NOT_FOUND',
      effect: 'none',
    });
    connection.close();
  });

  it('can be aborted, before and while it waits', async () => {
    proxy.setAccepting(false);
    const connection = new Connection(proxy.address, 'test');
    const call = (signal: AbortSignal) =>
      connection.unary(ClusterService.method.getCluster, {}, { signal });
    await expect(call(AbortSignal.abort())).rejects.toMatchObject({ reason: 'CANCELLED' });
    await expect(call(AbortSignal.timeout(150))).rejects.toMatchObject({ reason: 'CANCELLED' });
    proxy.setAccepting(true);
    connection.close();
  });

  it('fails once the client is closed', async () => {
    const connection = new Connection(broker.server, 'test');
    connection.close();
    await expect(connection.unary(ClusterService.method.getCluster, {})).rejects.toMatchObject({
      reason: 'CLIENT_CLOSED',
    });
  });
});
