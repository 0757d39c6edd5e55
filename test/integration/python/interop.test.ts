// A client in another language, made of generated code only: what Python publishes, the SDK reads, and the other way.
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { connect } from '../../../client/src/index.ts';
import { missing, python } from '../../services/catalog.ts';
import { BrokerProcess } from '../../support/broker-process.ts';
import { describeNeeding } from '../../support/needs.ts';

type Command = 'create' | 'publish' | 'replay' | 'consume' | 'errors' | 'introspect';

const run = promisify(execFile);
const protoDirectory = join(import.meta.dirname, '..', '..', '..', 'proto');
const clientPath = join(import.meta.dirname, 'client.py');
/** Longer than the client waits for a call, so that it is the client who says what hung. */
const commandWithinMs = 25_000;

describeNeeding(missing(python), 'a Python client made of generated code', () => {
  let generated: string;
  let broker: BrokerProcess;

  beforeAll(async () => {
    generated = await mkdtemp(join(tmpdir(), 'millrace-python-'));
    await generate(generated);
    broker = await BrokerProcess.start();
  });

  afterAll(async () => {
    await broker[Symbol.asyncDispose]();
    await rm(generated, { recursive: true, force: true });
  });

  async function client(command: Command, topic: string): Promise<unknown> {
    const { stdout } = await run(
      python.path,
      ['-B', clientPath, generated, broker.server, command, topic],
      { timeout: commandWithinMs },
    );
    return JSON.parse(stdout);
  }

  it('creates a topic and a subscription, and finds them there the second time', async () => {
    expect(await client('create', 'created')).toEqual({
      topic: 'public/default/created',
      topicCreated: true,
      partitions: 1,
      subscription: 'workers',
      subscriptionCreated: true,
      ackDeadlineMs: 30_000,
    });
    expect(await client('create', 'created')).toMatchObject({
      topicCreated: false,
      subscriptionCreated: false,
    });
  });

  it('publishes over a stream and by a call; a repeat is answered, a gap refused', async () => {
    await client('create', 'published');
    const seen = await client('publish', 'published');
    expect(seen).toEqual({
      publisherNamed: true,
      publisherEpoch: expect.any(Number),
      partitionCount: 1,
      windowBytes: expect.any(Number),
      results: [
        { sequence: 1, baseOffset: 0, recordCount: 2, duplicate: false, reason: '' },
        { sequence: 2, baseOffset: 2, recordCount: 1, duplicate: false, reason: '' },
        { sequence: 2, baseOffset: 2, recordCount: 1, duplicate: true, reason: '' },
        { sequence: 9, baseOffset: 0, recordCount: 0, duplicate: false, reason: 'SEQUENCE_GAP' },
      ],
      unary: [{ sequence: 0, baseOffset: 3, recordCount: 1, duplicate: false, reason: '' }],
      endedWith: 'OK',
    });
  });

  it('replays what it published, and the SDK reads the same records', async () => {
    await client('create', 'replayed');
    await client('publish', 'replayed');
    const expected = ['a', 'b', 'c', 'd'].map((value, offset) => ({
      offset,
      key: `key-${value}`,
      value,
      timestampMs: 1_700_000_000_000,
      headers: [['from', 'python']],
    }));
    expect(await client('replay', 'replayed')).toEqual({ records: expected, endedWith: 'OK' });
    expect(await readWithSdk(broker.server, 'replayed')).toEqual(expected);
  });

  it('opens what the SDK compressed', async () => {
    await client('create', 'compressed');
    const values = Array.from({ length: 100 }, (_, i) => `the same words in every record, ${i}`);
    await using sdk = connect({ server: broker.server });
    const publisher = sdk.publisher('compressed', { compression: 'gzip', lingerMs: 20 });
    await Promise.all(values.map((value) => publisher.publish({ key: 'k', value })));
    expect(await client('replay', 'compressed')).toMatchObject({
      records: values.map((value, offset) => ({ offset, key: 'k', value })),
    });
  });

  it('works through a queue: what it nacks comes back, what it acks does not', async () => {
    await client('create', 'worked');
    await client('publish', 'worked');
    const lease = expect.any(Number) as number;
    expect(await client('consume', 'worked')).toEqual({
      consumer: 'python',
      firstTwo: [
        { offset: 0, value: 'a', attempt: 1, lease },
        { offset: 1, value: 'b', attempt: 1, lease },
      ],
      nacked: { offset: 2, value: 'c', attempt: 1, lease },
      fourth: { offset: 3, value: 'd', attempt: 1, lease },
      again: { offset: 2, value: 'c', attempt: 2, lease },
      staleNack: ['LEASE_LOST'],
      backlog: 0,
      endedWith: 'OK',
    });
  });

  it('learns why a call or a stream failed from the details in the trailer', async () => {
    const failure = {
      code: 'NOT_FOUND',
      detailsCode: 5,
      reason: 'TOPIC_NOT_FOUND',
      domain: 'millrace.dev',
      effect: 'none',
    };
    expect(await client('errors', 'absent')).toEqual({ unary: failure, stream: failure });
  });

  it('finds health and reflection as generic tools do', async () => {
    expect(await client('introspect', 'unused')).toEqual({
      overall: 'SERVING',
      publish: 'SERVING',
      unknown: 'NOT_FOUND',
      services: expect.arrayContaining([
        'grpc.health.v1.Health',
        'millrace.v1.ClusterService',
        'millrace.v1.ConsumeService',
        'millrace.v1.PublishService',
        'millrace.v1.ReadService',
        'millrace.v1.SubscriptionService',
        'millrace.v1.TopicService',
      ]),
      publishMethods: ['Publish', 'PublishStream'],
      recordFile: 'millrace/v1/record.proto',
    });
  });
});

async function generate(out: string): Promise<void> {
  const files = (await readdir(protoDirectory, { recursive: true })).filter((file) =>
    file.endsWith('.proto'),
  );
  const options = [`-I${protoDirectory}`, `--python_out=${out}`, `--grpc_python_out=${out}`];
  await run(python.path, ['-m', 'grpc_tools.protoc', ...options, ...files]);
}

async function readWithSdk(server: string, topic: string): Promise<unknown[]> {
  await using sdk = connect({ server });
  const records = [];
  for await (const record of sdk.reader(topic, { from: 'earliest', stopAtEnd: true })) {
    records.push({
      offset: record.offset,
      key: record.key.toString(),
      value: record.text(),
      timestampMs: record.timestampMs,
      headers: record.headers.map(([name, value]) => [name, value.toString()]),
    });
  }
  return records;
}
