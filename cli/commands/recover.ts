// millrace recover: a new data directory from the object store alone.
import { hostname } from 'node:os';
import { Command } from 'commander';
import { recover, type RecoverReport } from '../../broker/recover.ts';
import { isoTime, printJson, printLine, table } from '../output.ts';

interface RecoverCommandOptions {
  readonly objectStore: string;
  readonly dataDir: string;
  readonly output: 'json' | 'table';
}

export function recoverCommand(): Command {
  return new Command('recover')
    .description('make a new data directory from an object store, when the disk is lost')
    .requiredOption('--object-store <url>', 'as given to millrace start')
    .requiredOption('--data-dir <dir>', 'a new or empty directory')
    .option('-o, --output <format>', 'json or table', 'table')
    .addHelpText(
      'after',
      '\nA broker that still runs on that store is fenced: it stops at its next checkpoint.',
    )
    .action(run);
}

async function run(options: RecoverCommandOptions): Promise<void> {
  const report = await recover({
    objectStore: options.objectStore,
    variables: process.env,
    dataDir: options.dataDir,
    owner: hostname(),
  });
  if (options.output === 'json') await printJson(report);
  else await printReport(report, options);
}

async function printReport(report: RecoverReport, options: RecoverCommandOptions): Promise<void> {
  const rows = report.partitions.map((partition) => [
    partition.topic,
    partition.partition,
    partition.startOffset,
    partition.endOffset,
    partition.lostRecords,
  ]);
  await printLine(table(['TOPIC', 'PARTITION', 'START', 'END', 'KNOWN LOST'], rows));
  await printLine('');
  const { topicCount, subscriptionCount, checkpointAtMs } = report;
  await printLine(`recovered ${topicCount} topics and ${subscriptionCount} subscriptions`);
  await printLine(
    `as of ${isoTime(checkpointAtMs)}: later records that were not offloaded are lost, and what was acked later comes ` +
      'again',
  );
  await printLine(
    `start it: millrace start --data-dir ${options.dataDir} --object-store '${options.objectStore}'`,
  );
}
