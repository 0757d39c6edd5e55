// A publisher as a stream holds it: a name and an epoch on one topic.
import type { OpenTopic } from './open-topic.ts';

export interface PartitionSequence {
  readonly partition: number;
  readonly lastSequence: number;
}

export class OpenPublisher {
  readonly topic: OpenTopic;
  readonly name: string;
  readonly epoch: number;
  private isOpen = true;

  constructor(topic: OpenTopic, name: string, epoch: number) {
    this.topic = topic;
    this.name = name;
    this.epoch = epoch;
  }

  /** Throws when the topic is gone. Fencing is found by the partition that is written to. */
  check(): void {
    this.topic.check();
  }

  /** Partitions in which this publisher has stored something, with its last sequence there. */
  lastSequences(): PartitionSequence[] {
    const known: PartitionSequence[] = [];
    this.topic.logs.forEach((log, partition) => {
      const lastSequence = log.publishers.named(this.name)?.lastSequence ?? 0;
      if (lastSequence > 0) known.push({ partition, lastSequence });
    });
    return known;
  }

  close(): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    for (const log of this.topic.logs) log.closePublisher(this.name);
  }
}

/**
 * Opens a publisher in every partition of the topic. `wantedEpoch` 0 asks for one above every known; another one is
 * what the client was given before. Durable when it resolves; throws PUBLISHER_FENCED.
 */
export async function openPublisher(
  topic: OpenTopic,
  name: string,
  wantedEpoch: number,
  nowMs: number,
): Promise<OpenPublisher> {
  let epoch = wantedEpoch;
  if (epoch === 0) {
    for (const log of topic.logs) {
      epoch = Math.max(epoch, log.publishers.named(name)?.epoch ?? 0);
    }
    epoch++;
  }
  const opened = await Promise.allSettled(
    topic.logs.map((log) => log.openPublisher(name, epoch, nowMs)),
  );
  const publisher = new OpenPublisher(topic, name, epoch);
  const failed = opened.find((outcome) => outcome.status === 'rejected');
  if (failed !== undefined) {
    publisher.close();
    throw failed.reason;
  }
  return publisher;
}
