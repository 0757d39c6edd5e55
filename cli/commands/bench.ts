// millrace bench WORKLOAD: the workloads of docs/benchmarks.md against any broker; `all` starts one of its own.
import { Argument, Command } from 'commander';
import { runAll } from '../../bench/run-all.ts';
import { runWorkload, workloads } from '../../bench/run-workload.ts';
import { printJson, printLine, table } from '../output.ts';
import { parseCount, withClientOptions, type ClientOptions } from '../options.ts';

interface BenchOptions extends ClientOptions {
  readonly seconds: number;
}

export function benchCommand(): Command {
  const names = workloads.map(({ name }) => name);
  const help = workloads.map(({ name, description }) => `  ${name.padEnd(18)} ${description}`);
  return withClientOptions(new Command('bench'))
    .description('measure a broker; "all" starts a broker with fresh data and measures that one')
    .addArgument(new Argument('<workload>').choices([...names, 'all']))
    .option('--seconds <n>', 'length of each measurement', parseCount, 8)
    .addHelpText('after', ['', 'Workloads:', ...help].join('\n'))
    .action(bench);
}

async function bench(name: string, options: BenchOptions): Promise<void> {
  if (name === 'all') {
    await runAll({ seconds: options.seconds, isJson: options.output === 'json' });
    return;
  }
  const workload = workloads.find((candidate) => candidate.name === name);
  if (workload === undefined) return;
  const figures = await runWorkload(workload, options.server, options.seconds);
  if (options.output === 'json') {
    await printJson({ workload: name, description: workload.description, figures });
    return;
  }
  await printLine(`${name}: ${workload.description}`);
  await printLine(
    table(
      ['FIGURE', 'VALUE', 'UNIT'],
      figures.map((figure) => [figure.name, figure.value, figure.unit]),
    ),
  );
}
