// millrace topic create|list|describe|alter|offload|delayed|delete
import { Command, Option } from 'commander';
import type {
  BacklogQuota,
  Client,
  Retention,
  Tiering,
  Topic,
  TopicSpec,
  TopicSpecPatch,
} from '../../client/src/index.ts';
import { UsageError } from '../exit.ts';
import { isoTime, printJson, printLine, sizeText, table } from '../output.ts';
import {
  parseBytes,
  parseCount,
  parseDurationMs,
  withClient,
  withClientOptions,
  type ClientOptions,
} from '../options.ts';
import { saidToExist } from '../said-to-exist.ts';
import { onlyOnDiskCount, topicText } from '../topic-text.ts';

interface SpecOptions {
  readonly partitions?: number;
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

export function topicCommand(): Command {
  return new Command('topic')
    .description('create, look at, change and delete topics')
    .addCommand(create())
    .addCommand(list())
    .addCommand(describe())
    .addCommand(alter())
    .addCommand(offload())
    .addCommand(delayed())
    .addCommand(remove());
}

function create(): Command {
  return withClientOptions(withSpecOptions(new Command('create')))
    .description('create a topic; it must not exist yet')
    .argument('<name>', 'tenant/namespace/topic, or topic for public/default/topic')
    .option('--if-not-exists', 'do nothing when the topic is there already')
    .option('--dry-run', 'say what would be done')
    .action(async (name: string, options: ApplyOptions & { ifNotExists?: boolean }) => {
      await withClient(options, async (client) => {
        const plan = () => client.topics.apply(name, specOf(options), { dryRun: true });
        if (options.ifNotExists === true && (await saidToExist(`topic ${name}`, options, plan)))
          return;
        await applyWith(client, name, options, '0');
      });
    });
}

function alter(): Command {
  return withClientOptions(withSpecOptions(new Command('alter')))
    .description('change a topic; only what is named changes')
    .argument('<name>')
    .option('--dry-run', 'say what would be done')
    .action(async (name: string, options: ApplyOptions) => {
      await withClient(options, async (client) => {
        const { revision, spec } = await client.topics.get(name);
        await applyWith(client, name, options, revision, spec);
      });
    });
}

type ApplyOptions = ClientOptions & SpecOptions & { readonly dryRun?: boolean };

async function applyWith(
  client: Parameters<Parameters<typeof withClient>[1]>[0],
  name: string,
  options: ApplyOptions,
  revision: string,
  before?: TopicSpec,
): Promise<void> {
  const dryRun = options.dryRun === true;
  const applied = await client.topics.apply(name, specOf(options, before), { revision, dryRun });
  if (options.output === 'json') return printJson(applied);
  const lines = applied.changes.length > 0 ? applied.changes : ['nothing to do'];
  for (const line of lines) await printLine(dryRun ? `would ${line}` : line);
}

function list(): Command {
  return withClientOptions(new Command('list'))
    .description('list topics by name')
    .argument('[prefix]', 'such as public/ or public/default/', '')
    .action(async (prefix: string, options: ClientOptions) => {
      await withClient(options, async (client) => {
        const rows: (string | number)[][] = [];
        for await (const topic of client.topics.list({ prefix })) {
          if (options.output === 'json') await printJson(topic);
          else rows.push(topicRow(topic));
        }
        if (options.output === 'table') {
          const head = ['NAME', 'PARTITIONS', 'RECORDS', 'BYTES', 'SUBSCRIPTIONS'];
          await printLine(table(head, rows));
        }
      });
    });
}

function describe(): Command {
  return withClientOptions(new Command('describe'))
    .description('show a topic, its settings and its partitions')
    .argument('<name>')
    .action(async (name: string, options: ClientOptions) => {
      await withClient(options, async (client) => {
        const topic = await client.topics.get(name);
        if (options.output === 'json') await printJson(topic);
        else await printLine(topicText(topic));
      });
    });
}

function offload(): Command {
  return withClientOptions(new Command('offload'))
    .description('bring all that a topic has now to the object store, instead of when it is due')
    .argument('<name>')
    .option('--wait', 'until it is done, up to one hour; without it the broker goes on by itself')
    .action(async (name: string, options: ClientOptions & { wait?: boolean }) => {
      await withClient(options, async (client) => {
        const wait = options.wait === true;
        const status = await client.topics.offload(name, { wait });
        if (options.output === 'json') return printJson({ topic: name, wait, ...status });
        const onlyOnDisk = onlyOnDiskCount(status);
        await printLine(
          wait
            ? `offloaded ${name}: ${sizeText(status.coldBytes)} in the object store, ` +
                `${onlyOnDisk} records only on the disk`
            : `offloading ${name}: ${onlyOnDisk} records only on the disk; ` +
                `see how far it is: millrace topic describe ${name}`,
        );
      });
    });
}

function delayed(): Command {
  return withClientOptions(new Command('delayed'))
    .description('list what queues hold back until its delivery time')
    .argument('<name>')
    .option('--partition <n>', 'only this one', parseCount)
    .option('--cancel <offset>', 'take this record back; needs --partition', parseCount)
    .option('--through <offset>', 'and all to this one', parseCount)
    .action(async (name: string, options: ClientOptions & DelayedOptions) => {
      const { partition, cancel, through } = options;
      await withClient(options, async (client) => {
        if (cancel === undefined) return listDelayed(client, name, options);
        if (partition === undefined) throw new UsageError('--cancel needs --partition');
        const cancelled = await client.topics.cancelDelayed(name, partition, cancel, through);
        if (options.output === 'json') await printJson({ cancelled });
        else await printLine(`cancelled ${cancelled} records; no queue will deliver them`);
      });
    });
}

interface DelayedOptions {
  readonly partition?: number;
  readonly cancel?: number;
  readonly through?: number;
}

async function listDelayed(
  client: Client,
  name: string,
  { partition, output }: ClientOptions & DelayedOptions,
): Promise<void> {
  const count = (await client.topics.get(name)).partitions.length;
  const all = Array.from({ length: count }, (_, index) => index);
  const rows: (string | number)[][] = [];
  for (const index of partition === undefined ? all : [partition]) {
    for await (const run of client.topics.listDelayed(name, index)) {
      if (output === 'json') await printJson({ partition: index, ...run });
      else rows.push([index, run.firstOffset, run.lastOffset, isoTime(run.deliverAtMs)]);
    }
  }
  if (output === 'json') return;
  await printLine(table(['PARTITION', 'FIRST', 'LAST', 'DELIVER AT'], rows));
}

function remove(): Command {
  return withClientOptions(new Command('delete'))
    .description('delete a topic with its records and subscriptions, for ever')
    .argument('<name>')
    .option('--topic-id <id>', 'only this incarnation of the topic')
    .action(async (name: string, options: ClientOptions & { topicId?: string }) => {
      await withClient(options, async (client) => {
        await client.topics.delete(name, { topicId: options.topicId ?? '' });
        if (options.output === 'json') await printJson({ deleted: name });
        else await printLine(`deleted topic ${name}`);
      });
    });
}

function withSpecOptions(command: Command): Command {
  return command
    .option('--partitions <n>', 'number of partitions, 1 to 256; grows only', parseCount)
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

/** `before`: the topic as it is, when it is changed. */
function specOf(options: SpecOptions, before?: TopicSpec): TopicSpecPatch {
  const { partitions, batchBytesMax } = options;
  const backlogQuota = backlogOf(options, before?.backlogQuota);
  const retention = retentionOf(options);
  const tiering = tieringOf(options, before?.tiering);
  return {
    ...(partitions === undefined ? {} : { partitions }),
    ...(batchBytesMax === undefined ? {} : { batchBytesMax }),
    ...(retention === undefined ? {} : { retention }),
    ...(tiering === undefined ? {} : { tiering }),
    ...(backlogQuota === undefined ? {} : { backlogQuota }),
    ...(options.timeToLive === undefined ? {} : { timeToLiveMs: options.timeToLive }),
  };
}

/** The API replaces both together; here the limit that is not named stays. The revision guards what was read. */
function tieringOf({ hotAge, hotBytes }: SpecOptions, before?: Tiering): Tiering | undefined {
  if (hotAge === undefined && hotBytes === undefined) return undefined;
  return {
    hotAgeMs: hotAge ?? before?.hotAgeMs ?? 0,
    hotBytes: hotBytes ?? before?.hotBytes ?? 0,
  };
}

/** As tieringOf. */
function backlogOf(
  { backlogBytes, backlogPolicy }: SpecOptions,
  before?: BacklogQuota,
): BacklogQuota | undefined {
  if (backlogBytes === undefined && backlogPolicy === undefined) return undefined;
  return {
    bytes: backlogBytes ?? before?.bytes ?? 0,
    policy: backlogPolicy ?? before?.policy ?? 'refuse-publish',
  };
}

/** The API replaces retention as a whole, so a mixture of old and new is never made by accident. */
function retentionOf(options: SpecOptions): Retention | undefined {
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

function topicRow(topic: Topic): (string | number)[] {
  const records = topic.partitions.reduce((sum, p) => sum + p.endOffset - p.startOffset, 0);
  const { name, spec, storedBytes, subscriptionCount } = topic;
  return [name, spec.partitions, records, sizeText(storedBytes), subscriptionCount];
}
