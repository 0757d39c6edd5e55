// Options of the policy that a topic, a namespace and a tenant may say.
import { Option, type Command } from 'commander';
import type { BacklogQuota, Policy, PolicyField, Retention, Tiering } from '../client/src/index.ts';
import { UsageError } from './exit.ts';
import { parseBytes, parseDurationMs } from './options.ts';

export interface PolicyOptions {
  readonly batchBytesMax?: number;
  readonly retentionAge?: number;
  readonly retentionBytes?: number;
  readonly retentionForever?: boolean;
  readonly retentionUnackedAge?: number;
  readonly hotAge?: number;
  readonly hotBytes?: number;
  readonly timeToLive?: number;
  readonly backlogBytes?: number;
  readonly backlogPolicy?: BacklogQuota['policy'];
}

/** As people name what is inherited. */
const inheritNames = {
  retention: 'retention',
  tiering: 'tiering',
  backlog: 'backlogQuota',
  'time-to-live': 'timeToLiveMs',
  'batch-bytes-max': 'batchBytesMax',
} as const satisfies Record<string, PolicyField>;

export type InheritName = keyof typeof inheritNames;

export function withPolicyOptions(command: Command): Command {
  return command
    .option('--batch-bytes-max <size>', 'largest batch, up to 3M', parseBytes)
    .option(
      '--retention-age <duration>',
      'keep records at least so long, such as 7d',
      parseDurationMs,
    )
    .option(
      '--retention-bytes <size>',
      'keep at least so much per partition, such as 10G',
      parseBytes,
    )
    .option('--retention-forever', 'keep everything')
    .option(
      '--retention-unacked-age <duration>',
      'remove records of this age even if no subscription has acked them',
      parseDurationMs,
    )
    .option(
      '--hot-age <duration>',
      'what is older leaves the disk once the object store has it, such as 6h; 0: no limit',
      parseDurationMs,
    )
    .option(
      '--hot-bytes <size>',
      'so does what is beyond the newest so many bytes per partition, such as 10G; 0: no limit',
      parseBytes,
    )
    .option(
      '--time-to-live <duration>',
      'queues do not deliver records that have been due for so long; 0: they always do',
      parseDurationMs,
    )
    .option(
      '--backlog-bytes <size>',
      'how much of a partition may wait for some subscription; 0: no limit',
      parseBytes,
    )
    .addOption(
      new Option('--backlog-policy <policy>', 'what happens then').choices([
        'refuse-publish',
        'drop-oldest',
      ]),
    );
}

/** Says no longer what is named, so that it is inherited. */
export function withInheritOption(command: Command): Command {
  return command.addOption(
    new Option('--inherit <what...>', 'say this no longer, so that it is inherited').choices(
      Object.keys(inheritNames),
    ),
  );
}

export function inheritOf(names: readonly InheritName[] = []): PolicyField[] {
  return names.map((name) => inheritNames[name]);
}

/** `before`: what is in force, when it is changed. */
export function policyOf(options: PolicyOptions, before: Partial<Policy> = {}): Partial<Policy> {
  const { batchBytesMax, timeToLive } = options;
  const backlogQuota = backlogOf(options, before.backlogQuota);
  const retention = retentionOf(options);
  const tiering = tieringOf(options, before.tiering);
  return {
    ...(batchBytesMax === undefined ? {} : { batchBytesMax }),
    ...(retention === undefined ? {} : { retention }),
    ...(tiering === undefined ? {} : { tiering }),
    ...(backlogQuota === undefined ? {} : { backlogQuota }),
    ...(timeToLive === undefined ? {} : { timeToLiveMs: timeToLive }),
  };
}

/** The API replaces both together; here the limit that is not named stays. The revision guards what was read. */
function tieringOf({ hotAge, hotBytes }: PolicyOptions, before?: Tiering): Tiering | undefined {
  if (hotAge === undefined && hotBytes === undefined) return undefined;
  return {
    hotAgeMs: hotAge ?? before?.hotAgeMs ?? 0,
    hotBytes: hotBytes ?? before?.hotBytes ?? 0,
  };
}

/** As tieringOf. */
function backlogOf(
  { backlogBytes, backlogPolicy }: PolicyOptions,
  before?: BacklogQuota,
): BacklogQuota | undefined {
  if (backlogBytes === undefined && backlogPolicy === undefined) return undefined;
  return {
    bytes: backlogBytes ?? before?.bytes ?? 0,
    policy: backlogPolicy ?? before?.policy ?? 'refuse-publish',
  };
}

/** The API replaces retention as a whole, so a mixture of old and new is never made by accident. */
function retentionOf(options: PolicyOptions): Retention | undefined {
  const { retentionAge, retentionBytes, retentionForever, retentionUnackedAge } = options;
  const isSet = [retentionAge, retentionBytes, retentionForever].some((v) => v !== undefined);
  if (!isSet) {
    if (retentionUnackedAge === undefined) return undefined;
    throw new UsageError(
      'retention is set as a whole: give --retention-age, --retention-bytes or --retention-forever too',
    );
  }
  return {
    ageMs: retentionAge ?? 0,
    bytes: retentionBytes ?? 0,
    forever: retentionForever ?? false,
    unackedAgeMs: retentionUnackedAge ?? 0,
  };
}
