// millrace subscription create|list|describe|alter|delete|seek|browse
import { Command, Option } from 'commander';
import {
  whyIdle,
  type Subscription,
  type SubscriptionKind,
  type SubscriptionSpecPatch,
} from '../../client/src/index.ts';
import { UsageError } from '../exit.ts';
import { browseCommand } from './subscription-browse.ts';
import { saidToExist } from '../said-to-exist.ts';
import { printJson, printLine, table } from '../output.ts';
import {
  parseCount,
  parseDurationMs,
  parseFrom,
  withClient,
  withClientOptions,
  type ClientOptions,
  type From,
} from '../options.ts';

interface SpecOptions {
  readonly kind?: SubscriptionKind;
  readonly start?: From;
  readonly ackDeadlineMs?: number;
  readonly backoffMinMs?: number;
  readonly backoffMaxMs?: number;
  /** `--resume` makes it false. */
  readonly pause?: boolean;
  readonly resume?: boolean;
  readonly attemptsMax?: number;
  readonly deadLetterTopic?: string;
  readonly deadLetterExpired?: boolean;
  readonly recordsPerSecondMax?: number;
  readonly expiresAfter?: number;
  readonly dryRun?: boolean;
}

export function subscriptionCommand(): Command {
  return new Command('subscription')
    .description('create, look at, change, move and delete subscriptions')
    .addCommand(create())
    .addCommand(list())
    .addCommand(describe())
    .addCommand(alter())
    .addCommand(remove())
    .addCommand(seek())
    .addCommand(browseCommand());
}

function create(): Command {
  return withClientOptions(withSpecOptions(new Command('create')))
    .description('create a subscription; it must not exist yet')
    .argument('<topic>')
    .argument('<subscription>')
    .addOption(
      new Option('--kind <kind>', 'how records are handed out')
        .choices(['stream', 'queue', 'keyed_queue'])
        .default('queue'),
    )
    .option('--start <position>', 'earliest, latest, an offset or a time', parseFrom)
    .option('--if-not-exists', 'do nothing when the subscription is there already')
    .action(async (topic: string, name: string, options: CreateOptions) => {
      await withClient(options, async (client) => {
        const { kind: _, ...settings } = specOf(options);
        const plan = async () => {
          // The kind has a default: who did not say one asks for no other one.
          await client.subscriptions.get(topic, name);
          return client.subscriptions.apply(topic, name, settings, { dryRun: true });
        };
        const what = `subscription ${name} on ${topic}`;
        if (options.ifNotExists === true && (await saidToExist(what, options, plan))) return;
        await applyWith(client, topic, name, options, '0');
      });
    });
}

type CreateOptions = ClientOptions & SpecOptions & { readonly ifNotExists?: boolean };

function alter(): Command {
  return withClientOptions(withSpecOptions(new Command('alter')))
    .description('change a subscription; only what is named changes')
    .argument('<topic>')
    .argument('<subscription>')
    .action(async (topic: string, name: string, options: ClientOptions & SpecOptions) => {
      await withClient(options, async (client) => {
        const { revision } = await client.subscriptions.get(topic, name);
        await applyWith(client, topic, name, options, revision);
      });
    });
}

async function applyWith(
  client: Parameters<Parameters<typeof withClient>[1]>[0],
  topic: string,
  name: string,
  options: ClientOptions & SpecOptions,
  revision: string,
): Promise<void> {
  const dryRun = options.dryRun === true;
  const spec = specOf(options);
  const applied = await client.subscriptions.apply(topic, name, spec, { revision, dryRun });
  if (options.output === 'json') return printJson(applied);
  const lines = applied.changes.length > 0 ? applied.changes : ['nothing to do'];
  for (const line of lines) await printLine(dryRun ? `would ${line}` : line);
}

function list(): Command {
  return withClientOptions(new Command('list'))
    .description('list the subscriptions of a topic')
    .argument('<topic>')
    .action(async (topic: string, options: ClientOptions) => {
      await withClient(options, async (client) => {
        const rows: (string | number)[][] = [];
        for await (const subscription of client.subscriptions.list(topic)) {
          if (options.output === 'json') await printJson(subscription);
          else rows.push(subscriptionRow(subscription));
        }
        if (options.output === 'table') {
          const head = ['NAME', 'KIND', 'BACKLOG', 'IN FLIGHT', 'WAITING', 'CONSUMERS'];
          await printLine(table(head, rows));
        }
      });
    });
}

function describe(): Command {
  return withClientOptions(new Command('describe'))
    .description('show a subscription: settings, position, consumers, and why nothing comes')
    .argument('<topic>')
    .argument('<subscription>')
    .action(async (topic: string, name: string, options: ClientOptions) => {
      await withClient(options, async (client) => {
        const subscription = await client.subscriptions.get(topic, name);
        if (options.output === 'json') await printJson(subscription);
        else await printSubscription(subscription);
      });
    });
}

function remove(): Command {
  return withClientOptions(new Command('delete'))
    .description('delete a subscription: what was acked is forgotten')
    .argument('<topic>')
    .argument('<subscription>')
    .action(async (topic: string, name: string, options: ClientOptions) => {
      await withClient(options, async (client) => {
        await client.subscriptions.delete(topic, name);
        if (options.output === 'json') await printJson({ deleted: name, topic });
        else await printLine(`deleted subscription ${name} on ${topic}`);
      });
    });
}

function seek(): Command {
  return withClientOptions(new Command('seek'))
    .description('move a subscription: everything before the position counts as acked')
    .argument('<topic>')
    .argument('<subscription>')
    .requiredOption('--to <position>', 'earliest, latest, an offset or a time', parseFrom)
    .option('--partition <n>', 'only this partition', parseCount)
    .action(
      async (
        topic: string,
        name: string,
        options: ClientOptions & { to: From; partition?: number },
      ) => {
        const { to, partition } = options;
        await withClient(options, async (client) => {
          const target =
            partition === undefined ? { all: to } : { to: [{ partition, position: to }] };
          const partitions = await client.subscriptions.seek(topic, name, target);
          if (options.output === 'json')
            return printJson({ topic, subscription: name, partitions });
          for (const { partition: index, ackedOffset } of partitions) {
            await printLine(`partition ${index}: next record ${ackedOffset}`);
          }
        });
      },
    );
}

function withSpecOptions(command: Command): Command {
  return command
    .option('--ack-deadline-ms <ms>', 'time to ack a delivery, 1000 to 43200000', parseDurationMs)
    .option('--backoff-min-ms <ms>', 'delay before the first retry', parseDurationMs)
    .option('--backoff-max-ms <ms>', 'longest delay before a retry', parseDurationMs)
    .option(
      '--attempts-max <n>',
      'deliveries until a record is a dead letter; 0: no limit',
      parseCount,
    )
    .option('--dead-letter-topic <topic>', 'where such records go; an empty name takes it away')
    .option('--dead-letter-expired', 'what outlives its time to live is a dead letter too')
    .option('--no-dead-letter-expired', 'it is dropped')
    .option('--records-per-second-max <n>', 'deliver at most so many; 0: no limit', parseCount)
    .option(
      '--expires-after <duration>',
      'delete it after so long without a consumer; 0: never',
      parseDurationMs,
    )
    .option('--pause', 'deliver nothing until --resume')
    .option('--resume', 'deliver again')
    .option('--dry-run', 'say what would be done');
}

function specOf(options: SpecOptions): SubscriptionSpecPatch {
  const { kind, start, ackDeadlineMs, backoffMinMs, backoffMaxMs } = options;
  const { attemptsMax, deadLetterTopic, deadLetterExpired, recordsPerSecondMax, expiresAfter } =
    options;
  if (options.pause === true && options.resume === true) {
    throw new UsageError('--pause and --resume exclude each other');
  }
  const paused = options.pause === true ? true : options.resume === true ? false : undefined;
  return {
    ...(kind === undefined ? {} : { kind }),
    ...(start === undefined ? {} : { start }),
    ...(ackDeadlineMs === undefined ? {} : { ackDeadlineMs }),
    ...(backoffMinMs === undefined ? {} : { backoffMinMs }),
    ...(backoffMaxMs === undefined ? {} : { backoffMaxMs }),
    ...(paused === undefined ? {} : { paused }),
    ...(attemptsMax === undefined ? {} : { attemptsMax }),
    ...(deadLetterTopic === undefined ? {} : { deadLetterTopic }),
    ...(deadLetterExpired === undefined ? {} : { deadLetterExpired }),
    ...(recordsPerSecondMax === undefined ? {} : { recordsPerSecondMax }),
    ...(expiresAfter === undefined ? {} : { expiresAfterMs: expiresAfter }),
  };
}

function subscriptionRow(subscription: Subscription): (string | number)[] {
  const sum = (read: (p: Subscription['partitions'][number]) => number): number =>
    subscription.partitions.reduce((total, partition) => total + read(partition), 0);
  return [
    subscription.name,
    subscription.spec.kind,
    sum((p) => p.backlog),
    sum((p) => p.inFlight),
    sum((p) => p.waiting),
    subscription.consumers.length,
  ];
}

function deadLetterText({
  deadLetterTopic,
  attemptsMax,
  deadLetterExpired,
}: Subscription['spec']): string {
  if (deadLetterTopic === '') return 'none: failed records are tried again without limit';
  const after = attemptsMax > 0 ? `after ${attemptsMax} attempts` : 'when rejected';
  return `to ${deadLetterTopic} ${after}${deadLetterExpired ? ' or expired' : ''}`;
}

async function printSubscription(subscription: Subscription): Promise<void> {
  const { spec } = subscription;
  await printLine(`name          ${subscription.name} on ${subscription.topic}`);
  await printLine(`kind          ${spec.kind}${spec.paused ? ', paused' : ''}`);
  if (spec.kind !== 'stream') {
    await printLine(`ack deadline  ${spec.ackDeadlineMs} ms`);
    await printLine(`back-off      ${spec.backoffMinMs} to ${spec.backoffMaxMs} ms`);
    await printLine(`dead letters  ${deadLetterText(spec)}`);
    if (spec.recordsPerSecondMax > 0) {
      await printLine(`rate          at most ${spec.recordsPerSecondMax} records/s`);
    }
  }
  const why = whyIdle(subscription);
  if (why !== '') await printLine(`why idle      ${why}`);
  await printLine('');
  const head = [
    'PARTITION',
    'ACKED',
    'END',
    'BACKLOG',
    'READY',
    'IN FLIGHT',
    'WAITING',
    'DELAYED',
    'DEAD',
    'WHY IDLE',
  ];
  const rows = subscription.partitions.map((p) => [
    p.partition,
    p.ackedOffset,
    p.endOffset,
    p.backlog,
    p.ready,
    p.inFlight,
    p.waiting,
    p.delayed,
    p.dead,
    p.blockReasons.length > 0 ? p.blockReasons.join(', ') : '-',
  ]);
  await printLine(table(head, rows));
  for (const { partition, blockDetail } of subscription.partitions) {
    if (blockDetail !== '') await printLine(`partition ${partition}: ${blockDetail}`);
  }
  if (subscription.consumers.length === 0) return;
  await printLine('');
  const consumers = subscription.consumers.map((consumer) => [
    consumer.consumer,
    consumer.inFlight,
    consumer.activePartitions.join(','),
  ]);
  await printLine(table(['CONSUMER', 'IN FLIGHT', 'PARTITIONS'], consumers));
}
