// millrace topic create|list|describe|alter|offload|delayed|delete
import { Command } from 'commander';
import type { Client, Policy, Topic, TopicSpecPatch } from '../../client/src/index.ts';
import { UsageError } from '../exit.ts';
import { isoTime, printJson, printLine, sizeText, table } from '../output.ts';
import { parseCount, withClient, withClientOptions, type ClientOptions } from '../options.ts';
import {
  inheritOf,
  policyOf,
  withInheritOption,
  withPolicyOptions,
  type InheritName,
  type PolicyOptions,
} from '../policy-options.ts';
import { saidToExist } from '../said-to-exist.ts';
import { withLabelOption, type Labels } from '../label-options.ts';
import { onlyOnDiskCount, topicText } from '../topic-text.ts';

interface SpecOptions extends PolicyOptions {
  readonly partitions?: number;
  readonly inherit?: readonly InheritName[];
  readonly label?: Labels;
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
  return withClientOptions(withInheritOption(withSpecOptions(new Command('alter'))))
    .description('change a topic; only what is named changes')
    .argument('<name>')
    .option('--dry-run', 'say what would be done')
    .action(async (name: string, options: ApplyOptions) => {
      await withClient(options, async (client) => {
        const { revision, policy } = await client.topics.get(name);
        await applyWith(client, name, options, revision, policy);
      });
    });
}

type ApplyOptions = ClientOptions & SpecOptions & { readonly dryRun?: boolean };

async function applyWith(
  client: Parameters<Parameters<typeof withClient>[1]>[0],
  name: string,
  options: ApplyOptions,
  revision: string,
  before?: Policy,
): Promise<void> {
  const dryRun = options.dryRun === true;
  const inherit = inheritOf(options.inherit);
  const applied = await client.topics.apply(name, specOf(options, before), {
    revision,
    dryRun,
    inherit,
  });
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
  return withLabelOption(
    withPolicyOptions(
      command.option('--partitions <n>', 'number of partitions, 1 to 256; grows only', parseCount),
    ),
  );
}

/** `before`: what is in force, when the topic is changed. */
function specOf(options: SpecOptions, before?: Policy): TopicSpecPatch {
  const { partitions, label: labels } = options;
  return {
    ...(partitions === undefined ? {} : { partitions }),
    ...(labels === undefined ? {} : { labels }),
    ...policyOf(options, before),
  };
}

function topicRow(topic: Topic): (string | number)[] {
  const records = topic.partitions.reduce((sum, p) => sum + p.endOffset - p.startOffset, 0);
  const { name, spec, storedBytes, subscriptionCount } = topic;
  return [name, spec.partitions, records, sizeText(storedBytes), subscriptionCount];
}
