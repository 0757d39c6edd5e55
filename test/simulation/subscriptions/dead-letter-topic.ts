// The dead-letter topic of the simulation: the broker's own way to it, over a shard with a disk of its own, so that a
// crash may keep a letter and lose what said that it is one, or the other way round.
import { parseTopicName } from '../../../broker/catalog/names.ts';
import { publicTenant } from '../../../broker/catalog/tenant.ts';
import { topicSpecDefault } from '../../../broker/catalog/topic.ts';
import { DeadLetterTopics } from '../../../broker/cluster/dead-letter-topics.ts';
import { topicNotFound } from '../../../broker/cluster/open-topic.ts';
import type { Clock } from '../../../broker/core/clock.ts';
import { BrokerError } from '../../../broker/core/errors.ts';
import { noFailPoint } from '../../../broker/core/fail-point.ts';
import { topicId } from '../../../broker/core/ids.ts';
import type { WhenDurable } from '../../../broker/log/append-entry.ts';
import type { AppendRequest, PartitionLog } from '../../../broker/log/partition-log.ts';
import type { DeadLetterTarget } from '../../../broker/subscription/dead-letter-sender.ts';
import type { SubscriptionKind } from '../../../broker/subscription/subscription.ts';
import { openTopic } from '../../support/open-topic.ts';
import { turn } from '../../support/simulated-disk.ts';
import type { Event, Letter } from './history.ts';
import { recordsOf, type ReadRecord } from './records.ts';

export const deadLetterTopic = 'public/default/dead';

/** How it takes letters now. */
export type TargetState = 'well' | 'missing' | 'full';

export class SimulatedDeadLetterTopic implements DeadLetterTarget {
  state: TargetState = 'well';
  private readonly topics: DeadLetterTopics;
  private readonly history: Event[];

  private readonly behindSource: () => Promise<void>;

  /** `behindSource`: resolves when everything that the subscriptions' shard wrote so far is durable. */
  constructor(
    log: PartitionLog,
    clock: Clock,
    history: Event[],
    behindSource: () => Promise<void>,
  ) {
    this.history = history;
    this.behindSource = behindSource;
    const topic = openTopic(
      {
        id: topicId(9),
        tenantId: publicTenant.id,
        name: parseTopicName(deadLetterTopic),
        partitions: [log.id],
        shards: ['1'],
        spec: topicSpecDefault,
        revision: 1,
        createdAtMs: 0,
      },
      [log],
    );
    const broker = {
      clock,
      topic: (name: string) => {
        if (this.state === 'missing') throw topicNotFound(name);
        return topic;
      },
      hasSubscription: () => true,
      createQueue: () => Promise.resolve(),
      append: (to: PartitionLog, request: AppendRequest, whenDurable: WhenDurable) => {
        if (this.state === 'full') throw new BrokerError('BACKLOG_FULL', 'the topic is full');
        to.append(request, clock.wallMs(), whenDurable);
      },
    };
    const directory = { findById: () => topic, hasSubscription: () => true };
    this.topics = new DeadLetterTopics(broker, directory, noFailPoint);
  }

  async publish(letter: Parameters<DeadLetterTarget['publish']>[0]): Promise<void> {
    await this.topics.publish(letter);
    for (const record of recordsOf(letter.body)) {
      const { to, offset } = letterOf(record);
      const event = { kind: 'letter', to, offset, number: letter.sequence } as const;
      this.history.push({ ...event, isDurable: false });
      void turn()
        .then(this.behindSource)
        .then(() => this.history.push({ ...event, isDurable: true }));
    }
  }

  redrive(letter: Parameters<DeadLetterTarget['redrive']>[0]): Promise<void> {
    return this.topics.redrive(letter);
  }

  hasArrived(...letter: Parameters<DeadLetterTarget['hasArrived']>): boolean {
    return this.topics.hasArrived(...letter);
  }
}

export function letterOf({ headers, value }: ReadRecord): Letter {
  return {
    to: headers.get('millrace-origin-subscription') as SubscriptionKind,
    offset: Number(headers.get('millrace-origin-offset')),
    attempts: Number(headers.get('millrace-attempts')),
    reason: headers.get('millrace-reason') ?? '',
    value,
  };
}
