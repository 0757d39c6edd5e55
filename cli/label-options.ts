// The option of labels that topics and tenants have, and labels as people read them.
import { InvalidArgumentError, type Command } from 'commander';

/** By name; an empty text takes a label away. */
export type Labels = Readonly<Record<string, string>>;

export function withLabelOption(command: Command): Command {
  return command.option(
    '--label <name=text>',
    'write this down about it, again and again for more; an empty text takes a label away',
    parseLabel,
  );
}

/** A line each. */
export function labelLines(labels: Labels): string[] {
  return Object.entries(labels).map(([name, text]) => `label          ${name}=${text}`);
}

function parseLabel(text: string, before: Labels = {}): Labels {
  const at = text.indexOf('=');
  if (at > 0) return { ...before, [text.slice(0, at)]: text.slice(at + 1) };
  throw new InvalidArgumentError('It must be a name, "=" and a text, such as team=orders.');
}
