// What a partition remembers of its publishers outlives the records: offload, retention and restarts.
import { fromBinary } from '@bufbuild/protobuf';
import { afterEach, expect, it } from 'vitest';
import {
  PublishStreamRequestSchema,
  PublishStreamResponseSchema,
  type AppendResult,
} from '../../proto/gen/millrace/v1/publish_pb.ts';
import { encode, RawGrpc } from '../support/raw-grpc.ts';
import { TieredBroker } from '../support/tiered-broker.ts';

let tiered: TieredBroker | undefined;

afterEach(async () => {
  await tiered?.[Symbol.asyncDispose]();
});

it('a repeat is answered with the first offset when its record is offloaded, expired, and over a restart', async () => {
  tiered = await TieredBroker.start();
  await tiered.client.topics.apply('t');
  expect(await append('t', 1)).toMatchObject({ baseOffset: 0n, duplicate: false });
  expect(await append('t', 2)).toMatchObject({ baseOffset: 1n, duplicate: false });
  await tiered.publishCold('t', 5, 2);
  expect(await append('t', 2)).toMatchObject({ baseOffset: 1n, duplicate: true });
  tiered = await tiered.restarted(async () => {});
  expect(await append('t', 2)).toMatchObject({ baseOffset: 1n, duplicate: true });
  const retention = { ageMs: 1, bytes: 0, forever: false, unackedAgeMs: 0 };
  await tiered.client.topics.apply('t', { retention });
  const start = async () => (await tiered?.partition('t'))?.startOffset;
  await expect.poll(start, { timeout: 10_000 }).toBe(7);
  expect(await append('t', 2)).toMatchObject({ baseOffset: 1n, duplicate: true });
  expect((await append('t', 4)).error?.reason).toBe('SEQUENCE_GAP');
  expect(await append('t', 3)).toMatchObject({ baseOffset: 7n, duplicate: false });
});

/** Appends one record as publisher `p`, on a stream of its own. */
async function append(topic: string, sequence: number): Promise<AppendResult> {
  using grpc = new RawGrpc(tiered?.broker.grpcAddress ?? '');
  const stream = grpc.duplex('PublishService/PublishStream');
  const request = {
    opens: [{ topic, publisher: 'p' }],
    appends: [
      {
        sequence: BigInt(sequence),
        batch: { records: [{ value: Buffer.from(`${sequence}`) }] },
      },
    ],
  };
  stream.write(encode(PublishStreamRequestSchema, request));
  for (;;) {
    const { results } = fromBinary(PublishStreamResponseSchema, await stream.next());
    if (results[0] !== undefined) return results[0];
  }
}
