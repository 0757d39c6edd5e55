// millrace dlq list|peek|redrive|purge|jobs|cancel
import { Command, Option } from 'commander';
import type { DeadLetter, DeadLetterJob } from '../../client/src/index.ts';
import { withFilterOptions, filterOf, isEmpty, type FilterOptions } from '../dead-letter-filter.ts';
import { UsageError } from '../exit.ts';
import { parseCount, withClient, withClientOptions, type ClientOptions } from '../options.ts';
import { ageText, isoTime, printJson, printLine, Progress, shortened, table } from '../output.ts';
import { stopSignal } from '../signals.ts';

export function dlqCommand(): Command {
  return new Command('dlq')
    .description('dead letters: see where there are some, bring them back, remove them')
    .addCommand(list())
    .addCommand(peek())
    .addCommand(redrive())
    .addCommand(purge())
    .addCommand(jobs())
    .addCommand(cancel());
}

function list(): Command {
  return withClientOptions(withFilterOptions(new Command('list')))
    .description('list topics with dead letters; of one topic, count them by origin and reason')
    .argument('[topic]')
    .action(async (topic: string | undefined, options: ClientOptions & FilterOptions) => {
      if (topic === undefined) await listTopics(options);
      else await countLetters(topic, options);
    });
}

async function listTopics(options: ClientOptions & FilterOptions): Promise<void> {
  if (!isEmpty(filterOf(options))) throw new UsageError('a filter needs a topic to count in');
  await withClient(options, async (client) => {
    const rows: (string | number)[][] = [];
    for await (const topic of client.deadLetters.topics()) {
      if (options.output === 'json') {
        await printJson(topic);
        continue;
      }
      const { letters, oldestMs = 0, sources } = topic;
      const from = sources.map((source) => `${source.topic} ${source.subscription}`).join(', ');
      const name = topic.exists ? topic.topic : `${topic.topic} (missing)`;
      rows.push([name, letters, ageText(oldestMs, Date.now()), from || '-']);
    }
    if (options.output === 'json') return;
    await printLine(table(['TOPIC', 'LETTERS', 'OLDEST', 'FROM'], rows));
  });
}

async function countLetters(topic: string, options: ClientOptions & FilterOptions): Promise<void> {
  await withClient(options, async (client) => {
    const { counts, damaged } = await client.deadLetters.count(topic, filterOf(options));
    if (options.output === 'json') {
      for (const count of counts) await printJson(count);
      if (damaged > 0) await printJson({ damaged });
      return;
    }
    const rows = counts.map((count) => [
      count.originTopic || '(published here)',
      count.originSubscription || '-',
      count.reason ?? '-',
      count.letters,
      isoTime(count.oldestMs),
      isoTime(count.newestMs),
    ]);
    await printLine(
      table(['TOPIC', 'SUBSCRIPTION', 'REASON', 'LETTERS', 'OLDEST', 'NEWEST'], rows),
    );
    if (damaged > 0) await printLine(`${damaged} letters are damaged and cannot be read`);
  });
}

function peek(): Command {
  return withClientOptions(withFilterOptions(new Command('peek')))
    .description('look at dead letters: where each comes from, and why; changes nothing')
    .argument('<topic>')
    .option('--count <n>', 'at most so many', parseCount, 10)
    .action(async (topic: string, options: ClientOptions & FilterOptions & { count: number }) => {
      await withClient(options, async (client) => {
        const rows: (string | number)[][] = [];
        const wanted = { ...filterOf(options), lettersMax: options.count };
        for await (const letter of client.deadLetters.peek(topic, wanted)) {
          if (options.output === 'json') await printJson(letterJson(letter));
          else rows.push(letterRow(letter));
        }
        if (options.output === 'json') return;
        const head = ['OFFSET', 'DIED', 'FROM', 'REASON', 'ATTEMPTS', 'ERROR', 'KEY', 'VALUE'];
        await printLine(table(head, rows));
      });
    });
}

interface JobOptions extends ClientOptions, FilterOptions {
  readonly to?: string;
  readonly rate?: number;
  readonly dryRun?: boolean;
  readonly detach?: boolean;
  readonly all?: boolean;
}

function redrive(): Command {
  return withJobOptions(new Command('redrive'))
    .description('bring dead letters back to where they came from, each once, attempts anew')
    .option('--to <topic>', 'to this topic instead, for everybody')
    .action((topic: string, options: JobOptions) => runJob('redrive', topic, options));
}

function purge(): Command {
  return withJobOptions(new Command('purge'))
    .description('remove dead letters, for ever')
    .option('--all', 'without a filter')
    .action(async (topic: string, options: JobOptions) => {
      if (isEmpty(filterOf(options)) && options.all !== true) {
        throw new UsageError('a purge needs a filter, or --all to remove every letter');
      }
      await runJob('purge', topic, options);
    });
}

function withJobOptions(command: Command): Command {
  return withClientOptions(withFilterOptions(command))
    .argument('<topic>')
    .option('--rate <n>', 'letters per second', parseCount)
    .option('--dry-run', 'count what matches, and do nothing')
    .addOption(new Option('--detach', 'do not wait; the broker goes on by itself'));
}

async function runJob(
  action: 'redrive' | 'purge',
  topic: string,
  options: JobOptions,
): Promise<void> {
  const { to, rate = 0, dryRun = false, detach, output } = options;
  await withClient(options, async (client) => {
    const wanted = { ...filterOf(options), recordsPerSecondMax: rate, dryRun };
    const started =
      action === 'purge'
        ? await client.deadLetters.purge(topic, wanted)
        : await client.deadLetters.redrive(topic, to === undefined ? wanted : { ...wanted, to });
    const stop = new AbortController();
    const stopListening = stopSignal(() => stop.abort());
    const progress = new Progress();
    const job =
      detach === true
        ? started
        : await client.deadLetters.wait(started, {
            signal: stop.signal,
            onProgress: (now) => progress.show(progressText(now)),
          });
    stopListening();
    progress.clear();
    if (output === 'json') return printJson(job);
    await printLine(outcomeText(job));
  });
}

function jobs(): Command {
  return withClientOptions(new Command('jobs'))
    .description('list redrives and purges of a topic, the newest first')
    .argument('<topic>')
    .action(async (topic: string, options: ClientOptions) => {
      await withClient(options, async (client) => {
        const found = await client.deadLetters.jobs(topic);
        if (options.output === 'json') {
          for (const job of found) await printJson(job);
          return;
        }
        const head = ['JOB', 'WHAT', 'STATE', 'SCANNED', 'MATCHED', 'DONE', 'STAYED', 'WHY'];
        await printLine(table(head, found.map(jobRow)));
      });
    });
}

function cancel(): Command {
  return withClientOptions(new Command('cancel'))
    .description('end a redrive or purge; what has arrived stays there')
    .argument('<topic>')
    .argument('<job>')
    .action(async (topic: string, jobId: string, options: ClientOptions) => {
      await withClient(options, async (client) => {
        const job = await client.deadLetters.cancel(topic, jobId);
        if (options.output === 'json') await printJson(job);
        else await printLine(outcomeText(job));
      });
    });
}

const verbs = { redrive: 'redriven', purge: 'purged' } as const;

function progressText({ action, scanned, done, stayed, waitingFor }: DeadLetterJob): string {
  const waiting = waitingFor === '' ? '' : `; waits: ${waitingFor}`;
  return `${scanned} looked at, ${done} ${verbs[action]}, ${stayed} stayed${waiting}`;
}

function outcomeText(job: DeadLetterJob): string {
  const { jobId, topic, action, dryRun, state, scanned, matched, done, stayed } = job;
  if (state === 'running') {
    return `job ${jobId} goes on: millrace dlq jobs ${topic}; end it: millrace dlq cancel ${topic} ${jobId}`;
  }
  const what = dryRun
    ? `would ${action} ${matched} of ${scanned} letters`
    : `${verbs[action]} ${done} of ${scanned} letters`;
  const kept = stayed === 0 ? '' : `; ${stayed} stayed: ${job.stayedBecause}`;
  return `${what}${kept}${state === 'cancelled' ? '; cancelled' : ''}`;
}

function jobRow(job: DeadLetterJob): (string | number)[] {
  const { jobId, action, dryRun, to, state, scanned, matched, done, stayed } = job;
  const what = `${action}${to === '' ? '' : ` to ${to}`}${dryRun ? ' (dry run)' : ''}`;
  const why = job.waitingFor || job.stayedBecause || '-';
  return [jobId, what, state, scanned, matched, done, stayed, why];
}

function letterRow(letter: DeadLetter): (string | number)[] {
  const { offset, originTopic, originPartition, originOffset, originSubscription } = letter;
  const from = `${originTopic}/${originPartition}@${originOffset} ${originSubscription}`;
  return [
    offset,
    isoTime(letter.appendTimeMs),
    originTopic === '' ? '-' : from,
    letter.reason ?? '-',
    letter.attempts,
    shortened(Buffer.from(letter.error)) || '-',
    shortened(letter.key) || '-',
    shortened(letter.value),
  ];
}

function letterJson({ key, value, headers, ...rest }: DeadLetter) {
  return {
    ...rest,
    key: key.toString(),
    value: value.toString(),
    headers: headers.map(([name, text]) => ({ name, value: text.toString() })),
  };
}
