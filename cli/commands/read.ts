// millrace read TOPIC: replays records without a subscription; values one a line.
import { Command } from 'commander';
import { printJson, Progress } from '../output.ts';
import {
  parseCount,
  parseFrom,
  withClient,
  withClientOptions,
  type ClientOptions,
  type From,
} from '../options.ts';
import { printRecord, recordJson } from '../record-output.ts';
import { stopSignal } from '../signals.ts';

interface ReadOptions extends ClientOptions {
  readonly from: From;
  readonly count?: number;
  readonly follow?: boolean;
  readonly partition?: number;
}

export function readCommand(): Command {
  return withClientOptions(new Command('read'))
    .description('read records without a subscription: values one a line, everything with -o json')
    .argument('<topic>')
    .option(
      '--from <position>',
      'earliest, latest, an offset, or a time such as 2026-11-23T10:00:00Z',
      parseFrom,
      'earliest' as const,
    )
    .option('--count <n>', 'end after so many records', parseCount)
    .option('--follow', 'do not end at the end, wait for more')
    .option('--partition <n>', 'only this partition', parseCount)
    .action(read);
}

async function read(topic: string, options: ReadOptions): Promise<void> {
  if (options.count === 0) return;
  await withClient(options, async (client) => {
    await client.topics.get(topic);
    const { partition, from, count } = options;
    const progress = new Progress();
    const reader = client.reader(topic, {
      ...(partition === undefined ? { from } : { fromPartitions: new Map([[partition, from]]) }),
      ...(count === undefined ? {} : { recordsMax: count }),
      stopAtEnd: options.follow !== true,
      onGap: (gap) => {
        process.stderr.write(
          `millrace: offsets ${gap.firstOffset}-${gap.lastOffset} of partition ${gap.partition} are gone (${gap.reason})\n`,
        );
      },
    });
    const stop = stopSignal(() => void reader.close());
    let records = 0;
    try {
      for await (const record of reader) {
        if (options.output === 'json') await printJson(recordJson(record));
        else await printRecord(record);
        records++;
        if (!process.stdout.isTTY) progress.show(`read ${records} records`);
      }
    } finally {
      stop();
      progress.clear();
    }
  });
}
