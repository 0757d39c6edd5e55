// millrace subscription browse: records of a queue by what has become of them.
import { Command, Option } from 'commander';
import type { BrowsedRecord, RecordState } from '../../client/src/index.ts';
import { isoTime, printJson, printLine, shortened, table } from '../output.ts';
import { parseCount, withClient, withClientOptions, type ClientOptions } from '../options.ts';

interface BrowseOptions extends ClientOptions {
  readonly state?: 'ready' | 'in-flight' | 'waiting' | 'delayed' | 'dead';
  readonly partition?: number;
  readonly from?: number;
  readonly count: number;
}

export function browseCommand(): Command {
  return withClientOptions(new Command('browse'))
    .description(
      'look at records that are not acked: where they are, and who has them; changes nothing',
    )
    .argument('<topic>')
    .argument('<subscription>')
    .addOption(
      new Option('--state <state>', 'only such ones').choices([
        'ready',
        'in-flight',
        'waiting',
        'delayed',
        'dead',
      ]),
    )
    .option('--partition <n>', 'only this partition', parseCount)
    .option('--from <offset>', 'from this offset on', parseCount)
    .option('--count <n>', 'at most so many per partition', parseCount, 10)
    .action(browse);
}

async function browse(topic: string, name: string, options: BrowseOptions): Promise<void> {
  await withClient(options, async (client) => {
    const { partition, from = 0, count, output } = options;
    const { partitions } = await client.subscriptions.get(topic, name);
    const rows: (string | number)[][] = [];
    for (const { partition: index } of partitions) {
      if (partition !== undefined && partition !== index) continue;
      const state = options.state?.replace('-', ' ') as RecordState | undefined;
      const found = client.subscriptions.browse(topic, name, {
        partition: index,
        fromOffset: from,
        recordsMax: count,
        ...(state === undefined ? {} : { state }),
      });
      for await (const record of found) {
        if (output === 'json') await printJson(jsonOf(index, record));
        else rows.push(rowOf(index, record));
      }
    }
    if (output === 'json') return;
    const head = [
      'PARTITION',
      'OFFSET',
      'STATE',
      'ATTEMPTS',
      'SINCE OR UNTIL',
      'WHO OR WHY',
      'KEY',
      'VALUE',
    ];
    await printLine(table(head, rows));
  });
}

function jsonOf(partition: number, { key, value, headers, ...rest }: BrowsedRecord) {
  return {
    partition,
    ...rest,
    key: key.toString(),
    value: value.toString(),
    headers: headers.map(([name, text]) => ({ name, value: text.toString() })),
  };
}

function rowOf(partition: number, record: BrowsedRecord): (string | number)[] {
  const { offset, state, attempts, deliveredAtMs, readyAtMs, consumer, reason } = record;
  const time = deliveredAtMs ?? readyAtMs;
  return [
    partition,
    offset,
    state,
    attempts,
    time === undefined ? '-' : isoTime(time),
    consumer || reason || '-',
    shortened(record.key) || '-',
    shortened(record.value),
  ];
}
