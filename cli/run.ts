// Runs one command and turns what it throws into an exit code.
import { CommanderError, type Command } from 'commander';
import { exitCodes, exitWith } from './exit.ts';
import { program } from './program.ts';

export async function run(): Promise<void> {
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
}

/** Commander copies `exitOverride` to commands made by `.command()`, not to those that were added. */
function throwOnExit(command: Command): void {
  command.exitOverride();
  for (const child of command.commands) throwOnExit(child);
}
