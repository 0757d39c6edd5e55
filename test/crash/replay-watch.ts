// Reads a topic from its beginning to its end, again and again, while a broker is killed: what a position holds never
// changes, and nothing is left out.
import type { Client } from '../../client/src/index.ts';

export class ReplayWatch {
  /** Positions that were missing between two others, or held something else than before. */
  readonly faults: string[] = [];
  /** Replays that came to their end. */
  count = 0;
  private readonly client: Client;
  private readonly topic: string;
  private readonly values = new Map<string, string>();
  private readonly running: Promise<void>;
  private isEnding = false;

  constructor(client: Client, topic: string) {
    this.client = client;
    this.topic = topic;
    this.running = this.run();
  }

  /** Resolves behind the replay that is under way. */
  async end(): Promise<void> {
    this.isEnding = true;
    await this.running;
  }

  private async run(): Promise<void> {
    while (!this.isEnding) await this.replay();
  }

  private async replay(): Promise<void> {
    const next = new Map<number, number>();
    const reader = this.client.reader(this.topic, {
      from: 'earliest',
      stopAtEnd: true,
      onGap: ({ partition, lastOffset }) => next.set(partition, lastOffset + 1),
    });
    for await (const record of reader) {
      const { partition, offset } = record;
      const position = `${partition}/${offset}`;
      const expected = next.get(partition) ?? offset;
      if (offset !== expected) this.faults.push(`${position} came instead of ${expected}`);
      next.set(partition, offset + 1);
      const value = record.text();
      const before = this.values.get(position);
      if (before === undefined) this.values.set(position, value);
      else if (before !== value) this.faults.push(`${position} was ${before}, is ${value}`);
    }
    this.count++;
  }
}
