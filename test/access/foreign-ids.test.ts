// Ids that are real, but another tenant's: used on what the caller may use, they say and do what invented ones do.
import { fromBinary } from '@bufbuild/protobuf';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { connect, type Client, type PulledMessage } from '../../client/src/index.ts';
import { ConsumeStreamRequestSchema } from '../../proto/gen/millrace/v1/consume_pb.ts';
import {
  ListTopicsRequestSchema,
  ListTopicsResponseSchema,
} from '../../proto/gen/millrace/v1/topic_pb.ts';
import { encode, RawGrpc } from '../support/raw-grpc.ts';
import { SecuredBroker } from '../support/secured-broker.ts';

let secured: SecuredBroker;
/** Administers tenant `acme`. */
let acme: Client;
let acmeToken: string;
/** What tenant `public` holds under a lease. */
let theirs: PulledMessage;
let theirJob: string;

const own = 'acme/shop/orders';
const foreign = 'public/shop/orders';

beforeAll(async () => {
  secured = await SecuredBroker.start();
  const { admin } = secured;
  await admin.tenants.apply('acme');
  for (const topic of [own, foreign]) {
    await admin.topics.apply(topic);
    const deadLetterTopic = `${topic}-dead`;
    await admin.subscriptions.apply(topic, 'work', { kind: 'queue', deadLetterTopic });
    await admin.topics.apply(deadLetterTopic);
    await admin.subscriptions.apply(deadLetterTopic, 'dead-letters', { kind: 'queue' });
    const publisher = admin.publisher(topic);
    for (let i = 0; i < 3; i++) await publisher.publish({ value: topic });
  }
  // Leases count from the same number in each subscription: from here on the caller has others than they.
  for (const message of await admin.pull(own, 'work')) await message.return();
  acmeToken = await secured.grant('acme-owner', 'acme', 'administer');
  acme = connect({ server: secured.server, token: acmeToken });
  [theirs] = (await admin.pull(foreign, 'work', { recordsMax: 1 })) as [PulledMessage];
  theirJob = (await admin.deadLetters.purge(`${foreign}-dead`, { dryRun: true })).jobId;
});

afterAll(async () => {
  await acme.close();
  await secured[Symbol.asyncDispose]();
});

async function theirBacklog(): Promise<number | undefined> {
  return (await secured.admin.subscriptions.get(foreign, 'work')).partitions[0]?.backlog;
}

const whatWasRefused = (error: unknown): string => {
  const { reason, message } = error as { readonly reason: string; readonly message: string };
  return `${reason}: ${message}`;
};

it.each(['nack', 'reject', 'extend', 'return'] as const)(
  'a lease of another tenant is to %s as one that was invented',
  async (verb) => {
    const [mine] = await acme.pull(own, 'work', { recordsMax: 1 });
    const { partition, offset: firstOffset, lease } = mine as PulledMessage;
    const tell = (one: number) =>
      acme.acknowledge(own, 'work', [{ partition, firstOffset, verb, lease: one }]);
    const [invented] = await tell(theirs.lease + 1_000_000);
    const [used] = await tell(theirs.lease);
    expect(invented?.error.reason).toBe('LEASE_LOST');
    const withoutLease = (error: unknown) => whatWasRefused(error).replace(/lease \d+/, 'lease N');
    expect(withoutLease(used?.error)).toBe(withoutLease(invented?.error));
    // It is held under the lease that it was delivered under, and goes back for the next verb.
    expect(
      await acme.acknowledge(own, 'work', [{ partition, firstOffset, verb: 'return', lease }]),
    ).toEqual([]);
  },
);

it('what another tenant holds stays with it, whatever is said about the offset and the lease', async () => {
  const { partition, offset: firstOffset, lease } = theirs;
  for (const verb of ['ack', 'nack', 'reject', 'extend', 'return'] as const) {
    const ack = { partition, firstOffset, verb, lease };
    await expect(acme.acknowledge(foreign, 'work', [ack])).rejects.toMatchObject({
      reason: 'PERMISSION_DENIED',
    });
  }
  await theirs.ack();
  expect(await theirBacklog()).toBe(2);
});

it('a job of another tenant is not found on a topic of the caller, like one that was invented', async () => {
  const topic = `${own}-dead`;
  const answerFor = async (
    call: (topic: string, jobId: string) => Promise<unknown>,
    id: string,
  ) => {
    const error = await call(topic, id).catch((thrown: unknown) => thrown);
    return whatWasRefused(error).replaceAll(id, 'ID');
  };
  const invented = theirJob.replace(/.$/, (last) => (last === '0' ? '1' : '0'));
  for (const call of [
    (name: string, id: string) => acme.deadLetters.job(name, id),
    (name: string, id: string) => acme.deadLetters.cancel(name, id),
  ]) {
    expect(await answerFor(call, theirJob)).toMatch(/^JOB_NOT_FOUND: /);
    expect(await answerFor(call, theirJob)).toBe(await answerFor(call, invented));
  }
  expect(await acme.deadLetters.jobs(topic)).toEqual([]);
});

it('a page token of another tenant leads to the own topics only', async () => {
  using all = new RawGrpc(secured.server, `Bearer ${secured.adminSecret}`);
  using grpc = new RawGrpc(secured.server, `Bearer ${acmeToken}`);
  const pageOf = async (caller: RawGrpc, pageToken: string, pageSize: number) => {
    const request = encode(ListTopicsRequestSchema, { pageToken, pageSize });
    const outcome = await caller.unary('TopicService/ListTopics', request);
    if (outcome.kind !== 'answer') throw new Error(outcome.end.message);
    return fromBinary(ListTopicsResponseSchema, outcome.bytes);
  };
  const tokens: string[] = [];
  for (let token = ''; ; tokens.push(token)) {
    token = (await pageOf(all, token, 1)).nextPageToken;
    if (token === '') break;
  }
  // All but the last of four topics lead on.
  expect(tokens).toHaveLength(3);
  const led: string[][] = [];
  for (const token of ['', ...tokens]) {
    led.push((await pageOf(grpc, token, 100)).topics.map(({ name }) => name));
  }
  expect(led).toEqual([[own, `${own}-dead`], [`${own}-dead`], [], []]);
});

it('an offset of another tenant in a stream of acks settles nothing there', async () => {
  const [held] = await secured.admin.pull(foreign, 'work', { recordsMax: 1 });
  const { partition, offset, lease } = held as PulledMessage;
  using grpc = new RawGrpc(secured.server, `Bearer ${acmeToken}`);
  const stream = grpc.duplex('ConsumeService/ConsumeStream');
  stream.write(encode(ConsumeStreamRequestSchema, { open: { topic: own, subscription: 'work' } }));
  await stream.next();
  const firstOffset = BigInt(offset);
  stream.write(
    encode(ConsumeStreamRequestSchema, {
      acks: [{ partition, firstOffset, lastOffset: firstOffset, verb: 1, lease: BigInt(lease) }],
      confirmId: 1n,
    }),
  );
  await stream.next();
  stream.cancel();
  expect(await theirBacklog()).toBe(2);
  await (held as PulledMessage).ack();
  expect(await theirBacklog()).toBe(1);
});
