// millrace consume TOPIC --subscription S: works through a subscription, which it creates when it is missing.
import { Command, Option } from 'commander';
import type { Client, Consumer, SubscriptionKind } from '../../client/src/index.ts';
import { MillraceError } from '../../client/src/index.ts';
import { UsageError } from '../exit.ts';
import { printJson } from '../output.ts';
import {
  parseCount,
  parseDurationMs,
  withClient,
  withClientOptions,
  type ClientOptions,
} from '../options.ts';
import { printRecord, recordJson } from '../record-output.ts';
import { stopSignal } from '../signals.ts';

interface ConsumeOptions extends ClientOptions {
  readonly subscription: string;
  readonly kind?: SubscriptionKind;
  readonly count?: number;
  readonly idle?: number;
  /** `--no-ack` makes it false. */
  readonly ack: boolean;
  readonly nack?: boolean;
  readonly consumer?: string;
}

export function consumeCommand(): Command {
  return withClientOptions(new Command('consume'))
    .description('work through a subscription; it is created when it is missing')
    .argument('<topic>')
    .requiredOption('--subscription <name>', 'the subscription')
    .addOption(
      new Option('--kind <kind>', 'kind to create, or that it must have').choices([
        'stream',
        'queue',
        'keyed_queue',
      ]),
    )
    .option('--count <n>', 'end after so many records', parseCount)
    .option('--idle <duration>', 'end when nothing came for so long, such as 5s', parseDurationMs)
    .option('--ack', 'ack each record once it is printed (default)', true)
    .option('--nack', 'give each record back: it is delivered again')
    .option('--no-ack', 'neither: records come back when this command ends')
    .option('--consumer <name>', 'name that is shown in the subscription’s status')
    .action(consume);
}

async function consume(topic: string, options: ConsumeOptions): Promise<void> {
  if (options.count === 0) return;
  await withClient(options, async (client) => {
    const kind = await ensureSubscription(client, topic, options);
    if (kind === 'stream' && options.nack === true) {
      throw new UsageError('a stream has no nack; leave acks out with --no-ack instead');
    }
    // No more than asked for, so that the rest stays with other consumers.
    const prefetch = options.count === undefined ? {} : { prefetchRecords: options.count };
    const consumer = client.consumer(topic, options.subscription, {
      kind,
      ...prefetch,
      ...(options.consumer === undefined ? {} : { consumer: options.consumer }),
    });
    const stop = stopSignal(() => void consumer.close());
    try {
      await work(consumer, options);
    } finally {
      stop();
      // Waits until the acks are durable: what was printed as done is done.
      await consumer.close();
    }
  });
}

/** The subscription's kind; creates the subscription when it is not there. */
async function ensureSubscription(
  client: Client,
  topic: string,
  options: ConsumeOptions,
): Promise<SubscriptionKind> {
  const { subscription: name } = options;
  try {
    const { spec } = await client.subscriptions.get(topic, name);
    return options.kind ?? spec.kind;
  } catch (error) {
    const isMissing = error instanceof MillraceError && error.reason === 'SUBSCRIPTION_NOT_FOUND';
    if (!isMissing) throw error;
    const kind = options.kind ?? 'queue';
    await client.subscriptions.apply(topic, name, { kind });
    process.stderr.write(`millrace: created ${kind} subscription ${name} on ${topic}\n`);
    return kind;
  }
}

async function work(consumer: Consumer, options: ConsumeOptions): Promise<void> {
  let records = 0;
  const idle = new IdleTimer(options.idle, () => void consumer.close());
  try {
    for await (const message of consumer) {
      idle.touch();
      if (options.output === 'json') {
        await printJson({ ...recordJson(message), attempt: message.attempt });
      } else await printRecord(message);
      if (options.nack === true) message.nack();
      else if (options.ack) message.ack();
      if (++records === options.count) break;
    }
  } finally {
    idle.stop();
  }
}

/** Calls back when it was not touched for so long. */
class IdleTimer {
  private readonly idleMs: number | undefined;
  private readonly onIdle: () => void;
  private timer: NodeJS.Timeout | undefined;

  constructor(idleMs: number | undefined, onIdle: () => void) {
    this.idleMs = idleMs;
    this.onIdle = onIdle;
    this.touch();
  }

  touch(): void {
    if (this.idleMs === undefined) return;
    if (this.timer === undefined) this.timer = setTimeout(this.onIdle, this.idleMs);
    else this.timer.refresh();
  }

  stop(): void {
    clearTimeout(this.timer);
  }
}
