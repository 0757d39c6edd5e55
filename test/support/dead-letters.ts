// The letters of a dead-letter topic, as a test compares them.
import type { Client } from '../../client/src/index.ts';

export interface Letter {
  /** Offset in the topic that it comes from. */
  readonly origin: number;
  readonly reason: string;
  readonly attempts: number;
}

export async function readLetters(client: Client, topic: string): Promise<Letter[]> {
  const letters: Letter[] = [];
  for await (const { headers } of client.reader(topic, { from: 'earliest', stopAtEnd: true })) {
    const named = new Map(headers.map(([name, value]) => [name, Buffer.from(value).toString()]));
    letters.push({
      origin: Number(named.get('millrace-origin-offset')),
      reason: named.get('millrace-reason') ?? '',
      attempts: Number(named.get('millrace-attempts')),
    });
  }
  return letters;
}
