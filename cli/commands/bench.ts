// millrace bench WORKLOAD: the workloads of docs/benchmarks.md against any broker; `all` starts one of its own.
import { Argument, Command } from 'commander';
import { conditions } from '../../bench/machine.ts';
import { runAccess } from '../../bench/run-access.ts';
import { runAll } from '../../bench/run-all.ts';
import { runTiering } from '../../bench/run-tiering.ts';
import { runWorkload, workloads } from '../../bench/run-workload.ts';
import { connectionOptions } from '../connection-options.ts';
import { printJson, printLine, table } from '../output.ts';
import { parseCount, withClientOptions, type ClientOptions } from '../options.ts';

interface BenchOptions extends ClientOptions {
  readonly seconds: number;
  readonly objectStore?: string;
  readonly metrics?: string;
}

export function benchCommand(): Command {
  const names = workloads.map(({ name }) => name);
  const help = workloads.map(({ name, description }) => `  ${name.padEnd(18)} ${description}`);
  return withClientOptions(new Command('bench'))
    .description(
      'measure a broker; "all", "tiering" and "access" start brokers with fresh data and measure those',
    )
    .addArgument(new Argument('<workload>').choices([...names, 'all', 'tiering', 'access']))
    .option('--seconds <n>', 'length of each measurement', parseCount, 8)
    .option('--metrics <url>', 'of the broker, for figures of its memory: http://HOST:PORT/metrics')
    .option('--object-store <url>', 'for tiering: as given to millrace start; default a directory')
    .addHelpText('after', ['', 'Workloads:', ...help].join('\n'))
    .action(bench);
}

async function bench(name: string, options: BenchOptions): Promise<void> {
  if (name === 'all') {
    await runAll({ seconds: options.seconds, isJson: options.output === 'json' });
    return;
  }
  if (name === 'tiering') {
    await runTiering({ objectStore: options.objectStore, seconds: options.seconds });
    return;
  }
  if (name === 'access') {
    await runAccess({ seconds: options.seconds });
    return;
  }
  const workload = workloads.find((candidate) => candidate.name === name);
  if (workload === undefined) return;
  const reach = await connectionOptions(options, process.env);
  const figures = await runWorkload(workload, reach, options.seconds, options.metrics);
  if (options.output === 'json') {
    await printJson({ workload: name, description: workload.description, figures });
    return;
  }
  await printLine(`${name}: ${workload.description}`);
  await printLine(conditions());
  await printLine(
    table(
      ['FIGURE', 'VALUE', 'UNIT'],
      figures.map((figure) => [figure.name, figure.value, figure.unit]),
    ),
  );
}
