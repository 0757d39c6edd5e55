// millrace publish TOPIC: one record a line, from a file or stdin.
import { createReadStream } from 'node:fs';
import { Command, Option } from 'commander';
import type { PublishRecord } from '../../client/src/index.ts';
import { LineReader } from '../line-reader.ts';
import { printJson, printLine, Progress } from '../output.ts';
import {
  parseCount,
  parseDurationMs,
  parseHeader,
  parseTime,
  withClient,
  withClientOptions,
  type ClientOptions,
} from '../options.ts';
import { UsageError } from '../exit.ts';

interface PublishOptions extends ClientOptions {
  readonly file: string;
  readonly key?: string;
  readonly keySeparator?: string;
  readonly header?: readonly [string, string][];
  readonly partition?: number;
  readonly compression: 'none' | 'gzip' | 'zstd';
  readonly publisher?: string;
  readonly delay?: number;
  readonly deliverAt?: number;
  readonly timeToLive?: number;
  readonly priority?: number;
}

export function publishCommand(): Command {
  return withClientOptions(new Command('publish'))
    .description('publish one record a line; done when all of them are durable')
    .argument('<topic>')
    .option('--file <path>', 'file to read, - for stdin', '-')
    .option('--key <key>', 'key of every record')
    .option('--key-separator <text>', 'what stands before it in a line is the key')
    .option('--header <name=value>', 'header of every record; may be repeated', parseHeader)
    .option('--partition <n>', 'partition, instead of the one that the key chooses', parseCount)
    .addOption(
      new Option('--compression <how>', 'how batches travel and are stored')
        .choices(['none', 'gzip', 'zstd'])
        .default('none'),
    )
    .option(
      '--delay <duration>',
      'queues hold the records back so long, such as 15m',
      parseDurationMs,
    )
    .option('--deliver-at <time>', 'or until then, such as 2026-12-24T18:00:00Z', parseTime)
    .option('--time-to-live <duration>', 'queues drop them when due for so long', parseDurationMs)
    .option('--priority <n>', '0 to 9; queues deliver higher ones first', parseCount)
    .option('--publisher <name>', 'stable name of this publisher; a random one otherwise')
    .action(publish);
}

async function publish(topic: string, options: PublishOptions): Promise<void> {
  if (options.key !== undefined && options.keySeparator !== undefined) {
    throw new UsageError('--key and --key-separator exclude each other');
  }
  await withClient(options, async (client) => {
    // Fails at once, and says why, when there is no broker or no topic.
    await client.topics.get(topic);
    const { compression, publisher: name } = options;
    const publisher = client.publisher(topic, {
      compression,
      ...(name === undefined ? {} : { publisher: name }),
    });
    const progress = new Progress();
    const source = options.file === '-' ? process.stdin : createReadStream(options.file);
    let published = 0;
    for await (const line of new LineReader(source)) {
      publisher.send(recordOf(line, options));
      published++;
      const full = publisher.ready();
      if (full !== undefined) {
        await full;
        progress.show(`published ${published} records`);
      }
    }
    await publisher.flush();
    progress.clear();
    const partitions = publisher.lastOffsets();
    await publisher.close();
    await report(topic, published, partitions, options.output);
  });
}

async function report(
  topic: string,
  records: number,
  lastOffsets: ReadonlyMap<number, number>,
  output: 'json' | 'table',
): Promise<void> {
  const partitions = [...lastOffsets]
    .sort(([a], [b]) => a - b)
    .map(([partition, lastOffset]) => ({ partition, lastOffset }));
  if (output === 'json') return printJson({ topic, records, partitions });
  await printLine(`published ${records} records to ${topic}`);
  for (const { partition, lastOffset } of partitions) {
    await printLine(`partition ${partition}: last offset ${lastOffset}`);
  }
}

function recordOf(line: Buffer, options: PublishOptions): PublishRecord {
  const shared = {
    ...(options.partition === undefined ? {} : { partition: options.partition }),
    ...(options.header === undefined ? {} : { headers: options.header }),
    ...(options.delay === undefined ? {} : { delayMs: options.delay }),
    ...(options.deliverAt === undefined ? {} : { deliverAt: options.deliverAt }),
    ...(options.timeToLive === undefined ? {} : { timeToLiveMs: options.timeToLive }),
    ...(options.priority === undefined ? {} : { priority: options.priority }),
  };
  const { key, keySeparator } = options;
  if (keySeparator === undefined) {
    return { value: line, ...(key === undefined ? {} : { key }), ...shared };
  }
  const at = line.indexOf(keySeparator);
  if (at < 0) {
    throw new UsageError(
      `a line has no key separator ${JSON.stringify(keySeparator)}: ${line.toString().slice(0, 80)}`,
    );
  }
  const value = line.subarray(at + Buffer.byteLength(keySeparator));
  return { key: line.subarray(0, at), value, ...shared };
}
