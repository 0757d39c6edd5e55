// Handlers and what they are told, against a broker that says what a test scripts.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { connect, json, MillraceError, type Client, type Message } from '../../client/src/index.ts';
import { AckVerb } from '../../proto/gen/millrace/v1/consume_pb.ts';
import { SubscriptionKind } from '../../proto/gen/millrace/v1/subscription_pb.ts';
import { FakeBroker, type FakeConsume } from './fake-broker.ts';
import { deliver, opened, ranges, take } from './scripted-consume.ts';
import { until } from './until.ts';

let broker: FakeBroker;
let client: Client;

beforeEach(async () => {
  broker = await FakeBroker.start();
  client = connect({ server: broker.server });
});

afterEach(async () => {
  await client.close();
  await broker[Symbol.asyncDispose]();
});

/** Each stream is opened, given what `first` gives it, and every confirmation at once. */
function script(
  kind: SubscriptionKind,
  first: (stream: FakeConsume, number: number) => void,
): void {
  broker.onConsume = (stream, { open, confirmId }, number) => {
    if (confirmId !== 0n) stream.send({ confirmations: [{ confirmId }] });
    if (open === undefined) return;
    opened(stream, kind);
    if (kind === SubscriptionKind.STREAM) stream.send({ assignment: { active: [0, 1] } });
    first(stream, number);
  };
}

/** A queue with these values on the first connection, each under a lease of its own. */
function queueOf(...records: (readonly [key: string, value: string])[]): void {
  script(SubscriptionKind.QUEUE, (stream, number) => {
    if (number > 0) return;
    records.forEach(([key, value], i) => {
      deliver(stream, { lease: BigInt(i + 1), baseOffset: BigInt(i), key, values: [value] });
    });
  });
}

function reasonOf(signal: AbortSignal): string | undefined {
  return signal.reason instanceof MillraceError ? signal.reason.reason : undefined;
}

describe('the signal of a message', () => {
  it('aborts when its lease is lost, and no other does', async () => {
    queueOf(['', 'a'], ['', 'b']);
    const consumer = client.consumer('t', 's');
    const [a, b] = [await take(consumer), await take(consumer)];
    const { signal } = a;
    broker.consumes[0]?.send({ leasesLost: [{ partition: 0, lease: 1n }] });
    await until(() => signal.aborted);
    expect(reasonOf(signal)).toBe('LEASE_LOST');
    expect(b.signal.aborted).toBe(false);
    // Who asks afterwards is told too.
    expect(reasonOf(a.signal)).toBe('LEASE_LOST');
  });

  it('aborts when the connection is lost', async () => {
    queueOf(['', 'a']);
    const { signal } = await take(client.consumer('t', 's'));
    broker.consumes[0]?.fail('SHUTTING_DOWN');
    await until(() => signal.aborted);
    expect(reasonOf(signal)).toBe('LEASE_LOST');
  });

  it('aborts with CLIENT_CLOSED when the consumer closes', async () => {
    queueOf(['', 'a']);
    const consumer = client.consumer('t', 's');
    const { signal } = await take(consumer);
    await consumer.close();
    expect(reasonOf(signal)).toBe('CLIENT_CLOSED');
  });

  it('aborts when the partition of a stream goes elsewhere, and is new when it comes back', async () => {
    script(SubscriptionKind.STREAM, (stream) => {
      deliver(stream, { partition: 0, baseOffset: 0n, values: ['a'] });
      deliver(stream, { partition: 1, baseOffset: 0n, values: ['x'] });
    });
    const consumer = client.consumer('t', 's');
    const [a, x] = [await take(consumer), await take(consumer)];
    const { signal } = a;
    const [stream] = broker.consumes;
    stream?.send({ assignment: { active: [1] } });
    await until(() => signal.aborted);
    expect(x.signal.aborted).toBe(false);
    stream?.send({ assignment: { active: [0, 1] } });
    if (stream) deliver(stream, { partition: 0, baseOffset: 0n, values: ['a'] });
    expect((await take(consumer)).signal.aborted).toBe(false);
    expect(a.signal.aborted).toBe(true);
  });
});

describe('a consumption that closes', () => {
  it('aborts handlers that run for too long, and acks nothing of them', async () => {
    queueOf(['', 'a']);
    const begun = Promise.withResolvers<Message>();
    const consumption = client.consume(
      't',
      's',
      async (message) => {
        begun.resolve(message);
        await new Promise((resolve) => message.signal.addEventListener('abort', resolve));
        throw message.signal.reason;
      },
      { drainTimeoutMs: 20 },
    );
    const message = await begun.promise;
    await consumption.close();
    expect(reasonOf(message.signal)).toBe('CLIENT_CLOSED');
    expect(ranges(broker.consumes[0])).toEqual([]);
    await until(() => broker.consumes[0]?.isLeft === true);
  });

  it('gives back, uncounted, what waits for its key', async () => {
    queueOf(['k', 'a'], ['k', 'b'], ['k', 'c'], ['', 'last']);
    const release = Promise.withResolvers<void>();
    const handled: string[] = [];
    const consumption = client.consume(
      't',
      's',
      async (message) => {
        handled.push(message.text());
        await release.promise;
      },
      { concurrencyPerKey: 1 },
    );
    // The two between have come before it.
    await until(() => handled.includes('last'));
    const closing = consumption.close();
    release.resolve();
    await closing;
    expect(handled).toEqual(['a', 'last']);
    const said = ranges(broker.consumes[0]);
    expect(said.filter(({ verb }) => verb === AckVerb.ACK)).toMatchObject([
      { firstOffset: 0n },
      { firstOffset: 3n },
    ]);
    const returned = said.filter(({ verb }) => verb === AckVerb.RETURN);
    expect(returned.map(({ firstOffset, lease }) => [firstOffset, lease])).toEqual([
      [1n, 2n],
      [2n, 3n],
    ]);
  });
});

describe('handlers of one key', () => {
  it('run one after another, in order, while other keys and records without one go on', async () => {
    queueOf(['k', 'k1'], ['k', 'k2'], ['', 'none1'], ['m', 'm1'], ['k', 'k3'], ['', 'none2']);
    const begun: string[] = [];
    const releases = new Map<string, () => void>();
    const consumption = client.consume(
      't',
      's',
      (message) => {
        begun.push(message.text());
        return new Promise((resolve) => releases.set(message.text(), resolve));
      },
      { concurrencyPerKey: 1 },
    );
    await until(() => begun.length === 4);
    expect(begun).toEqual(['k1', 'none1', 'm1', 'none2']);
    releases.get('k1')?.();
    await until(() => begun.length === 5);
    releases.get('k2')?.();
    await until(() => begun.length === 6);
    expect(begun.slice(4)).toEqual(['k2', 'k3']);
    for (const release of releases.values()) release();
    await consumption.close();
  });

  it('skip what was lost while it waited', async () => {
    queueOf(['k', 'k1'], ['k', 'k2'], ['k', 'k3']);
    const begun: string[] = [];
    const first = Promise.withResolvers<void>();
    const consumption = client.consume(
      't',
      's',
      async (message) => {
        begun.push(message.text());
        if (begun.length === 1) await first.promise;
      },
      { concurrencyPerKey: 1 },
    );
    await until(() => begun.length === 1);
    broker.consumes[0]?.send({ leasesLost: [{ partition: 0, lease: 2n }] });
    // A frame behind it that can be seen to have come.
    const [stream] = broker.consumes;
    if (stream) deliver(stream, { lease: 4n, baseOffset: 9n, key: 'm', values: ['m1'] });
    await until(() => begun.includes('m1'));
    first.resolve();
    await until(() => begun.includes('k3'));
    await consumption.close();
    expect(begun).toEqual(['k1', 'm1', 'k3']);
  });
});

describe('a value that the codec cannot decode', () => {
  it('is rejected with what is wrong, and the handler does not see it', async () => {
    queueOf(['', '{"n":'], ['', '{"n":2}']);
    const handled: unknown[] = [];
    const told: unknown[] = [];
    const consumption = client.consume('t', 's', ({ value }) => void handled.push(value), {
      codec: json<{ n: number }>(),
      onHandlerError: (error) => told.push(error),
    });
    await until(() => ranges(broker.consumes[0]).length === 2);
    await consumption.close();
    expect(handled).toEqual([{ n: 2 }]);
    expect(told).toMatchObject([{ reason: 'VALUE_INVALID' }]);
    const rejected = ranges(broker.consumes[0]).find(({ verb }) => verb === AckVerb.REJECT);
    expect(rejected).toMatchObject({ firstOffset: 0n, lease: 1n });
    expect(rejected?.reason).toContain('JSON');
  });

  it('is the handler\u2019s when it asks for it', async () => {
    queueOf(['', '{"n":']);
    const handled: string[] = [];
    const handler = (message: Message<unknown>): void => {
      expect(() => message.value).toThrow(expect.objectContaining({ reason: 'VALUE_INVALID' }));
      handled.push(message.text());
    };
    const options = { codec: json<unknown>(), invalidValues: 'handle' } as const;
    const consumption = client.consume('t', 's', handler, options);
    await until(() => ranges(broker.consumes[0]).length === 1);
    await consumption.close();
    expect(handled).toEqual(['{"n":']);
    expect(ranges(broker.consumes[0])).toMatchObject([{ verb: AckVerb.ACK }]);
  });

  it('holds up its partition of a stream, as a handler that fails does', async () => {
    script(SubscriptionKind.STREAM, (stream) => {
      deliver(stream, { partition: 0, baseOffset: 0n, values: ['1', '{', '3'] });
      deliver(stream, { partition: 1, baseOffset: 0n, values: ['10'] });
    });
    const handled = new Set<unknown>();
    let told = 0;
    const consumption = client.consume('t', 's', ({ value }) => void handled.add(value), {
      codec: json<number>(),
      onHandlerError: () => void told++,
    });
    await until(() => told >= 2 && handled.size >= 2);
    await consumption.close();
    expect(handled).toEqual(new Set([1, 10]));
    const acked = ranges(broker.consumes[0]).filter(({ partition }) => partition === 0);
    expect(acked.map(({ lastOffset }) => lastOffset)).toEqual([0n]);
  });

  it('is not to blame for a codec that cannot decode anything: the consumption ends', async () => {
    queueOf(['', '1'], ['', '2']);
    const schema = {
      '~standard': { version: 1, vendor: 'test', validate: (value: unknown) => later(value) },
    } as const;
    const consumption = client.consume('t', 's', () => {}, { codec: json(schema) });
    await expect(consumption.closed).rejects.toMatchObject({ reason: 'ARGUMENT_INVALID' });
    expect(ranges(broker.consumes[0]).filter(({ verb }) => verb === AckVerb.REJECT)).toEqual([]);
  });
});

describe('several messages', () => {
  it('are acked in one frame, and durable when it resolves', async () => {
    queueOf();
    const consumer = client.consumer('t', 's');
    await until(() => broker.consumes.length === 1);
    const values = ['a', 'b', 'c', 'd'];
    const [stream] = broker.consumes;
    if (stream) deliver(stream, { lease: 1n, baseOffset: 0n, values });
    const messages: Message[] = [];
    while (messages.length < values.length) messages.push(await take(consumer));
    await consumer.ackAll(messages);
    const frames = stream?.said.filter(({ acks }) => acks.length > 0) ?? [];
    expect(frames).toHaveLength(1);
    expect(frames[0]?.confirmId).not.toBe(0n);
    expect(frames[0]?.acks).toMatchObject([{ firstOffset: 0n, lastOffset: 3n, lease: 1n }]);
  });

  it('can be said different things of, and flush tells when all of it is durable', async () => {
    queueOf(['', 'a'], ['', 'b'], ['', 'c']);
    const consumer = client.consumer('t', 's', { ackGatherMs: 60_000 });
    const [a, b, c] = [await take(consumer), await take(consumer), await take(consumer)];
    a.ack();
    b.nack({ delayMs: 50, reason: 'busy' });
    c.reject('never');
    await consumer.flush();
    expect(ranges(broker.consumes[0])).toMatchObject([
      { firstOffset: 0n, verb: AckVerb.ACK },
      { firstOffset: 1n, verb: AckVerb.NACK, delayMs: 50, reason: 'busy' },
      { firstOffset: 2n, verb: AckVerb.REJECT, reason: 'never' },
    ]);
    await consumer.close();
    await expect(consumer.flush()).rejects.toMatchObject({ reason: 'CLIENT_CLOSED' });
  });
});

/** A schema whose answer comes later. */
function later(value: unknown): Promise<{ readonly value: unknown }> {
  return Promise.resolve({ value });
}
