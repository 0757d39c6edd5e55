// Where letters arrive. Dead ones: an ordinary topic, with an ordinary queue subscription that keeps them until
// somebody has dealt with them. Redriven ones: the topic where they died, for the subscription that gave them up.
//
// Invariants:
// - A letter is appended once per publisher and sequence: a repeat is answered, not stored. A publisher sends to
//   several topics in the order of its numbers, so each of them sees gaps.
// - The subscription is there before the first letter, so retention never takes a letter that nobody has looked at.
import type { Clock } from '../core/clock.ts';
import { BrokerError, toBrokerError } from '../core/errors.ts';
import type { FailPoint } from '../core/fail-point.ts';
import type { SubscriptionId, TopicId } from '../core/ids.ts';
import type { WhenDurable } from '../log/append-entry.ts';
import { plainTerms, type DeliveryTerms } from '../log/delivery-terms.ts';
import type { AppendRequest, PartitionLog } from '../log/partition-log.ts';
import type { DeadLetterTarget } from '../subscription/dead-letter-sender.ts';
import type { RedriveTarget } from '../subscription/outbox-state.ts';
import type { OpenTopic } from './open-topic.ts';

/** Name of the subscription on a dead-letter topic that holds what is not dealt with. */
export const deadLettersSubscription = 'dead-letters';

export interface DeadLetterBroker {
  readonly clock: Clock;
  /** Throws TOPIC_NOT_FOUND. */
  topic(name: string): OpenTopic;
  hasSubscription(topic: OpenTopic, name: string): boolean;
  createQueue(topic: string, name: string): Promise<void>;
  append(log: PartitionLog, request: AppendRequest, whenDurable: WhenDurable): void;
}

/** What a durable target names. */
export interface TargetDirectory {
  findById(id: TopicId): OpenTopic | undefined;
  hasSubscription(id: SubscriptionId): boolean;
}

/** The one epoch of a publisher that is never fenced: only the owner of its subscription sends. */
const epoch = 1;

interface NumberedLetter {
  readonly publisher: string;
  readonly sequence: number;
  readonly body: Buffer;
}

export class DeadLetterTopics implements DeadLetterTarget {
  private readonly broker: DeadLetterBroker;
  private readonly directory: TargetDirectory;
  private readonly failPoint: FailPoint;

  constructor(broker: DeadLetterBroker, directory: TargetDirectory, failPoint: FailPoint) {
    this.broker = broker;
    this.directory = directory;
    this.failPoint = failPoint;
  }

  async publish(letter: Parameters<DeadLetterTarget['publish']>[0]): Promise<void> {
    const topic = this.broker.topic(letter.topic);
    if (!this.broker.hasSubscription(topic, deadLettersSubscription)) {
      await this.broker.createQueue(letter.topic, deadLettersSubscription);
    }
    // One partition, so that letters of one queue stay in the order in which they died.
    await this.append(topic.log(0), letter, plainTerms);
  }

  async redrive(letter: Parameters<DeadLetterTarget['redrive']>[0]): Promise<void> {
    await this.failPoint('redrive-before-publish');
    const { topicId, partition, audience } = letter.target;
    const topic = this.directory.findById(topicId);
    if (topic === undefined) {
      throw new BrokerError('TOPIC_NOT_FOUND', 'the topic was deleted meanwhile');
    }
    if (audience !== 0 && !this.directory.hasSubscription(audience)) {
      throw new BrokerError('SUBSCRIPTION_NOT_FOUND', 'the subscription was deleted meanwhile');
    }
    await this.append(topic.log(partition), letter, { ...plainTerms, audience });
    await this.failPoint('redrive-after-publish');
  }

  hasArrived({ topicId, partition }: RedriveTarget, publisher: string, sequence: number): boolean {
    const log = this.directory.findById(topicId)?.logs[partition];
    return (log?.publishers.named(publisher)?.lastSequence ?? 0) >= sequence;
  }

  private async append(
    log: PartitionLog,
    { publisher: name, sequence, body }: NumberedLetter,
    terms: DeliveryTerms,
  ): Promise<void> {
    await log.openPublisher(name, epoch, this.broker.clock.wallMs());
    try {
      await new Promise<void>((resolve, reject) => {
        const request = {
          publisher: { name, epoch, mayLeaveGaps: true },
          sequence,
          expectedOffset: undefined,
          body,
          recordCount: 1,
          compressed: false,
          keyed: true,
          terms,
        };
        try {
          this.broker.append(log, request, () => resolve());
        } catch (error) {
          reject(toBrokerError(error));
        }
      });
    } finally {
      log.closePublisher(name);
    }
  }
}
