// millrace fsck: checks an object store against itself; needs no broker and changes nothing.
import { Command } from 'commander';
import { fsckAt, type Finding, type FsckReport } from '../../broker/fsck.ts';
import { exitCodes } from '../exit.ts';
import { printJson, printLine, Progress } from '../output.ts';

interface FsckCommandOptions {
  readonly objectStore: string;
  readonly fast?: boolean;
  readonly output: 'json' | 'table';
}

export function fsckCommand(): Command {
  return new Command('fsck')
    .description('check every object of an object store, and what refers to it; changes nothing')
    .requiredOption('--object-store <url>', 'as given to millrace start')
    .option('--fast', 'existence, footers and indexes only, not every record')
    .option('-o, --output <format>', 'json or table', 'table')
    .addHelpText(
      'after',
      '\nExits with 0 when nothing is missing or damaged, with 8 when something is.',
    )
    .action(run);
}

async function run(options: FsckCommandOptions): Promise<void> {
  const progress = new Progress();
  const report = await fsckAt(options.objectStore, process.env, {
    isFast: options.fast === true,
    nowMs: Date.now(),
    progress: (checked, total) => progress.show(`checked ${checked} of ${total} objects`),
  });
  progress.clear();
  if (options.output === 'json') await printJson(report);
  else await printReport(report);
  if (!report.isClean) process.exitCode = exitCodes.corrupt;
}

async function printReport(report: FsckReport): Promise<void> {
  await printLine(`cluster     ${report.clusterId}`);
  await printLine(`objects     ${report.objects}, ${report.bytes} bytes`);
  await printLine(`referenced  ${report.referenced}`);
  await printLine(`recent      ${report.recent} written since the last checkpoint, not judged`);
  for (const finding of report.findings) await printLine(findingText(finding));
  await printLine(report.isClean ? 'clean: nothing is missing or damaged' : 'DAMAGED');
}

function findingText({ kind, key, what, lost }: Finding): string {
  const lines = lost.map(
    ({ topic, partition, firstOffset, lastOffset }) =>
      `    lost: ${topic} partition ${partition}, offsets ${firstOffset} to ${lastOffset}`,
  );
  return [`${kind}: ${key} ${what}`, ...lines].join('\n');
}
