// Where dead letters arrive: an ordinary topic, with an ordinary queue subscription that keeps them until somebody has
// dealt with them.
//
// Invariants:
// - A letter is appended once per publisher and sequence: a repeat is answered, not stored.
// - The subscription is there before the first letter, so retention never takes a letter that nobody has looked at.
import type { Clock } from '../core/clock.ts';
import { toBrokerError } from '../core/errors.ts';
import { limits } from '../core/limits.ts';
import type { WhenDurable } from '../log/append-entry.ts';
import type { AppendRequest, PartitionLog } from '../log/partition-log.ts';
import type { DeadLetterTarget } from '../subscription/dead-letter-sender.ts';
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

/** The one epoch of a publisher that is never fenced: only the owner of its subscription sends. */
const epoch = 1;

export class DeadLetterTopics implements DeadLetterTarget {
  private readonly broker: DeadLetterBroker;

  constructor(broker: DeadLetterBroker) {
    this.broker = broker;
  }

  async publish(letter: Parameters<DeadLetterTarget['publish']>[0]): Promise<void> {
    const topic = this.broker.topic(letter.topic);
    if (!this.broker.hasSubscription(topic, deadLettersSubscription)) {
      await this.broker.createQueue(letter.topic, deadLettersSubscription);
    }
    // One partition, so that the numbers of a publisher go on whatever happens to the others.
    const log = topic.log(0);
    try {
      await this.append(log, letter.publisher, letter);
    } catch (thrown) {
      if (toBrokerError(thrown).reason !== 'SEQUENCE_GAP') throw thrown;
      // Letters in between went to another topic: here this one begins anew.
      await this.append(log, `${letter.publisher}/${letter.sequence}`, letter);
    }
  }

  private async append(
    log: PartitionLog,
    publisher: string,
    { sequence, body }: { readonly sequence: number; readonly body: Buffer },
  ): Promise<void> {
    const name = publisher.slice(0, limits.nameBytesMax);
    await log.openPublisher(name, epoch, this.broker.clock.wallMs());
    try {
      await new Promise<void>((resolve, reject) => {
        const request = {
          publisher: { name, epoch },
          sequence,
          expectedOffset: undefined,
          body,
          recordCount: 1,
          compressed: false,
          keyed: true,
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
