// What the MinIO client itself moves to and from a store, for comparison: 8 MiB objects, two at once.
import { randomBytes } from 'node:crypto';
import { Client } from 'minio';
import type { Figure } from './workload.ts';

const objectBytes = 8 * 1024 * 1024;
const count = 48;
const atOnce = 2;

/** `url`: as --object-store, with an endpoint; credentials from the usual AWS variables. */
export async function measureRawStore(
  url: string,
): Promise<{ readonly what: string; readonly figures: readonly Figure[] }> {
  const { hostname: bucket, pathname, searchParams } = new URL(url);
  const endpoint = new URL(searchParams.get('endpoint') ?? 'https://s3.amazonaws.com');
  const client = new Client({
    endPoint: endpoint.hostname,
    port: Number(endpoint.port),
    useSSL: endpoint.protocol === 'https:',
    accessKey: process.env['AWS_ACCESS_KEY_ID'] ?? '',
    secretKey: process.env['AWS_SECRET_ACCESS_KEY'] ?? '',
    region: searchParams.get('region') ?? 'us-east-1',
  });
  const bytes = randomBytes(objectBytes);
  const key = (i: number): string => `${pathname.slice(1)}/raw/${i}`;
  const put = await rate(async (i) => void (await client.putObject(bucket, key(i), bytes)));
  const get = await rate(async (i) => {
    const stream = await client.getPartialObject(bucket, key(i), 0, objectBytes);
    for await (const chunk of stream) void chunk;
  });
  await Promise.all(Array.from({ length: count }, (_, i) => client.removeObject(bucket, key(i))));
  return {
    what: 'the MinIO client alone, 8 MiB objects, 2 at once',
    figures: [
      { name: 'put', value: put, unit: 'MB/s' },
      { name: 'ranged get', value: get, unit: 'MB/s' },
    ],
  };
}

async function rate(work: (i: number) => Promise<void>): Promise<number> {
  let next = 0;
  const startMs = performance.now();
  const worker = async (): Promise<void> => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  return Math.round((count * objectBytes) / (performance.now() - startMs) / 1000);
}
