// The options that say which dead letters are meant, and what they say together.
import { Option, type Command } from 'commander';
import type { DeadLetterFilter, DeadLetterReason } from '../client/src/index.ts';
import { parseHeader, parseTime } from './options.ts';

export interface FilterOptions {
  readonly reason?: readonly ('attempts-exhausted' | 'rejected' | 'expired')[];
  readonly key?: string;
  readonly header?: readonly [string, string][];
  readonly since?: number;
  readonly until?: number;
  readonly originTopic?: string;
  readonly originSubscription?: string;
}

const reasons = {
  'attempts-exhausted': 'attempts_exhausted',
  rejected: 'rejected',
  expired: 'expired',
} as const satisfies Readonly<Record<string, DeadLetterReason>>;

export function withFilterOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--reason <reason...>', 'only letters that died of it').choices(
        Object.keys(reasons),
      ),
    )
    .option('--key <key>', 'only letters with this key')
    .option('--header <name=value>', 'only letters with this header; repeatable', parseHeader)
    .option('--since <time>', 'only letters that died then or later', parseTime)
    .option('--until <time>', 'only letters that died before', parseTime)
    .option('--origin-topic <topic>', 'only letters from this topic')
    .option('--origin-subscription <name>', 'only letters that this subscription gave up');
}

export function filterOf(options: FilterOptions): DeadLetterFilter {
  const { reason, key, header, since, until, originTopic, originSubscription } = options;
  return {
    ...(reason === undefined ? {} : { reasons: reason.map((one) => reasons[one]) }),
    ...(key === undefined ? {} : { key }),
    ...(header === undefined ? {} : { headers: Object.fromEntries(header) }),
    ...(since === undefined ? {} : { sinceMs: since }),
    ...(until === undefined ? {} : { untilMs: until }),
    ...(originTopic === undefined ? {} : { originTopic }),
    ...(originSubscription === undefined ? {} : { originSubscription }),
  };
}

export function isEmpty(filter: DeadLetterFilter): boolean {
  return Object.keys(filter).length === 0;
}
