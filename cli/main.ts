#!/usr/bin/env node
// The `millrace` command: a broker, and what talks to one.
import { Command, CommanderError } from 'commander';
import { clusterCommand } from './commands/cluster.ts';
import { consumeCommand } from './commands/consume.ts';
import { fsckCommand } from './commands/fsck.ts';
import { publishCommand } from './commands/publish.ts';
import { readCommand } from './commands/read.ts';
import { recoverCommand } from './commands/recover.ts';
import { startCommand } from './commands/start.ts';
import { subscriptionCommand } from './commands/subscription.ts';
import { topicCommand } from './commands/topic.ts';
import { benchCommand } from './commands/bench.ts';
import { exitCodes, exitWith } from './exit.ts';

export function program(): Command {
  return new Command('millrace')
    .description(
      'a message broker: one topic, replayed by offset or worked through by acknowledgement',
    )
    .version('0.1.0')
    .showHelpAfterError('(millrace help COMMAND says more)')
    .addHelpText('after', `\n${exitCodesHelp()}`)
    .exitOverride()
    .addCommand(startCommand())
    .addCommand(topicCommand())
    .addCommand(publishCommand())
    .addCommand(readCommand())
    .addCommand(consumeCommand())
    .addCommand(subscriptionCommand())
    .addCommand(clusterCommand())
    .addCommand(fsckCommand())
    .addCommand(recoverCommand())
    .addCommand(benchCommand());
}

function exitCodesHelp(): string {
  const lines = Object.entries(exitCodes).map(([meaning, code]) => `  ${code}  ${meaning}`);
  return ['Exit codes:', '  0  success', ...lines].join('\n');
}

/** Commander copies `exitOverride` to commands made by `.command()`, not to those that were added. */
function throwOnExit(command: Command): void {
  command.exitOverride();
  for (const child of command.commands) throwOnExit(child);
}

const root = program();
throwOnExit(root);
try {
  await root.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    // Commander has printed its message; asking for help or the version is no mistake.
    process.exitCode = error.exitCode === 0 ? 0 : exitCodes.usage;
  } else exitWith(error);
}
