// Streams and the credentials they were opened with, on a real broker: expiry, revocation, renewal.
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect } from '../../client/src/index.ts';
import { ConsumeStreamRequestSchema } from '../../proto/gen/millrace/v1/consume_pb.ts';
import {
  PublishStreamRequestSchema,
  PublishStreamResponseSchema,
} from '../../proto/gen/millrace/v1/publish_pb.ts';
import { ReadRequestSchema } from '../../proto/gen/millrace/v1/read_pb.ts';
import { encode, RawGrpc, type RawStream } from '../support/raw-grpc.ts';
import { principalOf, SecuredBroker } from '../support/secured-broker.ts';

let secured: SecuredBroker;

beforeAll(async () => {
  secured = await SecuredBroker.start();
  const { admin } = secured;
  for (const name of ['orders', 'others']) {
    await admin.topics.apply(name);
    await admin.subscriptions.apply(name, 'work', { kind: 'queue' });
  }
});

afterAll(() => secured[Symbol.asyncDispose]());

type OpenStream = (grpc: RawGrpc) => RawStream;
const topic = 'public/default/orders';

const streams: readonly (readonly [string, OpenStream])[] = [
  [
    'PublishStream',
    (grpc) =>
      grpc
        .duplex('PublishService/PublishStream')
        .write(encode(PublishStreamRequestSchema, { opens: [{ handle: 1, topic }] })),
  ],
  [
    'ConsumeStream',
    (grpc) =>
      grpc
        .duplex('ConsumeService/ConsumeStream')
        .write(encode(ConsumeStreamRequestSchema, { open: { topic, subscription: 'work' } })),
  ],
  ['Read', (grpc) => grpc.serverStream('ReadService/Read', encode(ReadRequestSchema, { topic }))],
];

describe.each(streams)('%s', (name, open) => {
  it('ends within a second when its token expires', async () => {
    await secured.grant(`brief-${name}`, topic, 'administer');
    const exp = Math.floor(Date.now() / 1000) + 3;
    using grpc = new RawGrpc(
      secured.server,
      `Bearer ${await secured.token(`brief-${name}`, { exp })}`,
    );
    const stream = open(grpc);
    await stream.next();
    expect((await stream.end()).reason).toBe('CREDENTIAL_EXPIRED');
    const lateMs = Date.now() - exp * 1000;
    expect(lateMs).toBeGreaterThanOrEqual(0);
    expect(lateMs).toBeLessThan(1_000);
  });

  it('ends at once when its API token is revoked', async () => {
    const { access } = secured.admin;
    const token = await access.createToken(`once-${name}`, { tenant: 'public' });
    await access.grant(token.principal, topic, ['administer']);
    using grpc = new RawGrpc(secured.server, `Bearer ${token.secret}`);
    const stream = open(grpc);
    await stream.next();
    const beganMs = Date.now();
    await access.revokeToken(`once-${name}`, { tenant: 'public' });
    expect((await stream.end()).reason).toBe('UNAUTHENTICATED');
    expect(Date.now() - beganMs).toBeLessThan(2_000);
  });
});

describe.each(streams.slice(1))('%s', (name, open) => {
  it('ends at once when its grant is revoked, and not by grants of others', async () => {
    const token = await secured.grant(`granted-${name}`, topic, 'consume');
    await secured.grant(`granted-${name}`, 'public/default/others', 'consume');
    using grpc = new RawGrpc(secured.server, `Bearer ${token}`);
    const stream = open(grpc);
    await stream.next();
    let ended = false;
    const end = stream.end().finally(() => (ended = true));
    await secured.admin.access.revoke(principalOf(`granted-${name}`), 'public/default/others');
    await secured.admin.access.grant(principalOf(`granted-${name}`), topic, ['view']);
    expect(ended).toBe(false);
    await secured.admin.access.revoke(principalOf(`granted-${name}`), topic, ['consume']);
    expect((await end).reason).toBe('PERMISSION_DENIED');
  });
});

it('a publish stream goes on for other topics when the grant on one is revoked', async () => {
  const token = await secured.grant('both', topic, 'publish');
  await secured.grant('both', 'public/default/others', 'publish');
  await using client = connect({ server: secured.server, token });
  const orders = client.publisher('orders');
  const others = client.publisher('others');
  await Promise.all([orders.publish({ value: '1' }), others.publish({ value: '1' })]);
  await secured.admin.access.revoke(principalOf('both'), topic);
  await expect(orders.publish({ value: '2' })).rejects.toMatchObject({
    reason: 'PERMISSION_DENIED',
  });
  expect((await others.publish({ value: '2' })).offset).toBe(1);
});

it('a foreign open on a stream fails alone', async () => {
  const token = await secured.grant('own', 'public/default/others', 'publish');
  using grpc = new RawGrpc(secured.server, `Bearer ${token}`);
  const stream = grpc.duplex('PublishService/PublishStream');
  const opens = ['orders', 'not-there', 'others', '../x'].map((name, handle) => ({
    handle,
    topic: name,
  }));
  stream.write(
    Buffer.from(
      toBinary(PublishStreamRequestSchema, create(PublishStreamRequestSchema, { opens })),
    ),
  );
  const reasons = new Map<number, string>();
  while (reasons.size < 4) {
    for (const { handle, error } of fromBinary(PublishStreamResponseSchema, await stream.next())
      .opened) {
      reasons.set(handle, error?.reason ?? '');
    }
  }
  expect([0, 1, 2, 3].map((handle) => reasons.get(handle))).toEqual([
    'PERMISSION_DENIED',
    'PERMISSION_DENIED',
    '',
    'NAME_INVALID',
  ]);
  stream.cancel();
});

it('a client whose token is renewed publishes and consumes over the expiry, each record once', async () => {
  await secured.grant('renewing', topic, 'publish', 'consume');
  let asked = 0;
  const token = async (): Promise<string> => {
    asked++;
    return secured.token('renewing', { exp: Math.floor(Date.now() / 1000) + 2 });
  };
  await using client = connect({ server: secured.server, token });
  await secured.admin.topics.apply('renewed');
  await secured.admin.subscriptions.apply('renewed', 'work', { kind: 'queue' });
  await secured.admin.access.grant(principalOf('renewing'), 'public/default/renewed', [
    'publish',
    'consume',
  ]);
  const seen = new Set<string>();
  const consumption = client.consume(
    'renewed',
    'work',
    async (message) => void seen.add(message.text()),
  );
  const publisher = client.publisher('renewed');
  const untilMs = Date.now() + 6_000;
  let count = 0;
  while (Date.now() < untilMs) {
    await publisher.publish({ value: String(count++) });
  }
  await expect.poll(() => seen.size, { timeout: 20_000 }).toBe(count);
  await consumption.close();
  const { partitions } = await secured.admin.topics.get('renewed');
  expect(partitions[0]?.endOffset).toBe(count);
  expect(asked).toBeGreaterThanOrEqual(4);
}, 60_000);

it('a client whose token expires for good fails with UNAUTHENTICATED', async () => {
  await secured.grant('ending', topic, 'consume');
  const exp = Math.floor(Date.now() / 1000) - 27;
  await using client = connect({
    server: secured.server,
    token: await secured.token('ending', { exp }),
  });
  const reader = client.reader('orders', { from: 'earliest' });
  const all = (async () => {
    for await (const _ of reader);
  })();
  await expect(all).rejects.toMatchObject({ reason: 'UNAUTHENTICATED', kind: 'denied' });
});

it('a token function that fails is told', async () => {
  const token = async (): Promise<string> => {
    throw new Error('no vault');
  };
  await using client = connect({ server: secured.server, token });
  await expect(client.access.whoAmI()).rejects.toMatchObject({ kind: 'denied' });
});

it('a list holds what the caller may view', async () => {
  for (const name of ['list/a/1', 'list/a/2', 'list/b/1', 'list-x/a/1']) {
    await secured.admin.topics.apply(
      name.replace('list/', 'public/list-').replace('list-x/', 'public/list-x-'),
    );
  }
  const names = async (token: string): Promise<string[]> => {
    await using client = connect({ server: secured.server, token });
    const found: string[] = [];
    for await (const one of client.topics.list()) found.push(one.name);
    return found;
  };
  const one = await secured.grant('lister', 'public/list-a', 'view');
  await secured.grant('lister', 'public/list-b/1', 'consume');
  expect(await names(one)).toEqual(['public/list-a/1', 'public/list-a/2', 'public/list-b/1']);
  expect(await names(await secured.token('nobody'))).toEqual([]);
  expect(await names(secured.adminSecret)).toHaveLength(
    (await Array.fromAsync(secured.admin.topics.list())).length,
  );
});
