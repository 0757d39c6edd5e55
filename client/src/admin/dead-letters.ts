// Dead letters: see which topics have some, count and look at them, bring them back, remove them.
import { setTimeout as sleep } from 'node:timers/promises';
import {
  DeadLetterAction,
  DeadLetterService,
  type DeadLetterPosition,
} from '../../../proto/gen/millrace/v1/dead_letter_pb.ts';
import type { Connection } from '../connection.ts';
import {
  countFromProto,
  filterToProto,
  jobFromProto,
  letterFromProto,
  topicFromProto,
  type DeadLetter,
  type DeadLetterCount,
  type DeadLetterFilter,
  type DeadLetterJob,
  type DeadLetterTopic,
} from './dead-letter.ts';
import { present } from './topics.ts';

export interface PeekOptions extends DeadLetterFilter {
  /** Ends after so many. Default: all. */
  readonly lettersMax?: number;
}

export interface DeadLetterJobOptions extends DeadLetterFilter {
  /** Letters per second, at most 1,000,000. Default: as fast as it goes. */
  readonly recordsPerSecondMax?: number;
  /** Counts, and does nothing. */
  readonly dryRun?: boolean;
}

export interface RedriveOptions extends DeadLetterJobOptions {
  /** A topic of the same tenant that letters go to instead, for everybody. Default: where each came from. */
  readonly to?: string;
}

export interface WaitOptions {
  /** Called with what is known, every now and then. */
  readonly onProgress?: (job: DeadLetterJob) => void;
  /** Ends the waiting; the job goes on. */
  readonly signal?: AbortSignal;
}

/** Letters of one call of `peek`. */
const peekPage = 100;
const pollMs = { min: 20, max: 500 } as const;

const {
  listDeadLetterTopics,
  countDeadLetters,
  peekDeadLetters,
  startDeadLetterJob,
  getDeadLetterJob,
  listDeadLetterJobs,
  cancelDeadLetterJob,
} = DeadLetterService.method;

export class DeadLetters {
  private readonly connection: Connection;

  constructor(connection: Connection) {
    this.connection = connection;
  }

  /** Topics that hold dead letters or are named as dead-letter topic, in the order of names, page by page. */
  async *topics(): AsyncGenerator<DeadLetterTopic> {
    for (let pageToken = ''; ;) {
      const page = await this.connection.unary(listDeadLetterTopics, { pageToken });
      for (const topic of page.topics) yield topicFromProto(topic);
      pageToken = page.nextPageToken;
      if (pageToken === '') return;
    }
  }

  /** Letters by origin and reason, the largest group first. Damaged ones are counted apart. */
  async count(
    topic: string,
    filter: DeadLetterFilter = {},
  ): Promise<{ readonly counts: readonly DeadLetterCount[]; readonly damaged: number }> {
    const groups = new Map<string, DeadLetterCount>();
    let damaged = 0;
    for (let from: DeadLetterPosition | undefined; ;) {
      const page = await this.connection.unary(countDeadLetters, {
        topic,
        filter: filterToProto(filter),
        ...(from === undefined ? {} : { from }),
      });
      damaged += Number(page.damaged);
      for (const message of page.counts) {
        const count = countFromProto(message);
        const key = JSON.stringify([count.originTopic, count.originSubscription, count.reason]);
        const known = groups.get(key);
        groups.set(key, known === undefined ? count : added(known, count));
      }
      from = page.next;
      if (from === undefined) break;
    }
    const counts = [...groups.values()].sort((a, b) => b.letters - a.letters);
    return { counts, damaged };
  }

  /**
   * Looks at letters in the order of offsets, page by page, and changes nothing.
   *
   * ```ts
   * for await (const letter of client.deadLetters.peek('orders-failed', { reasons: ['rejected'] })) {
   *   console.log(letter.originOffset, letter.error, letter.value.toString());
   * }
   * ```
   */
  async *peek(topic: string, options: PeekOptions = {}): AsyncGenerator<DeadLetter> {
    const { lettersMax = Infinity } = options;
    let left = lettersMax;
    for (let from: DeadLetterPosition | undefined; left > 0;) {
      const page = await this.connection.unary(peekDeadLetters, {
        topic,
        filter: filterToProto(options),
        lettersMax: Math.min(left, peekPage),
        ...(from === undefined ? {} : { from }),
      });
      for (const letter of page.letters) yield letterFromProto(letter);
      left -= page.letters.length;
      from = page.next;
      if (from === undefined) return;
    }
  }

  /**
   * Starts to bring the letters that match back to where they came from: of those that are there now, each once, for
   * the subscription that gave it up. The broker goes on by itself, also after a restart; `wait` says when it is done.
   *
   * ```ts
   * const job = await client.deadLetters.redrive('orders-failed', { reasons: ['attempts_exhausted'] });
   * const { done, stayed } = await client.deadLetters.wait(job);
   * ```
   */
  redrive(topic: string, options: RedriveOptions = {}): Promise<DeadLetterJob> {
    return this.start(topic, DeadLetterAction.REDRIVE, options);
  }

  /** Starts to remove the letters that match: all of those that are there now, without a filter. */
  purge(topic: string, options: DeadLetterJobOptions = {}): Promise<DeadLetterJob> {
    return this.start(topic, DeadLetterAction.PURGE, options);
  }

  /** As it is now. Throws JOB_NOT_FOUND: of a topic the last 20 are remembered. */
  async job(topic: string, jobId: string): Promise<DeadLetterJob> {
    const { job } = await this.connection.unary(getDeadLetterJob, { topic, jobId });
    return jobFromProto(present(job));
  }

  /** The newest first. */
  async jobs(topic: string): Promise<readonly DeadLetterJob[]> {
    const { jobs } = await this.connection.unary(listDeadLetterJobs, { topic });
    return jobs.map(jobFromProto);
  }

  /** Ends a job: what has arrived stays there, all else is where it was. Safe to repeat. */
  async cancel(topic: string, jobId: string): Promise<DeadLetterJob> {
    const { job } = await this.connection.unary(cancelDeadLetterJob, { topic, jobId });
    return jobFromProto(present(job));
  }

  /** Resolves when the job has ended, or with what it has done when the signal is aborted. */
  async wait(
    { topic, jobId }: Pick<DeadLetterJob, 'topic' | 'jobId'>,
    { onProgress, signal }: WaitOptions = {},
  ): Promise<DeadLetterJob> {
    let waitMs: number = pollMs.min;
    for (;;) {
      const job = await this.job(topic, jobId);
      onProgress?.(job);
      if (job.state !== 'running' || signal?.aborted === true) return job;
      await sleep(waitMs, undefined, signal === undefined ? {} : { signal }).catch(() => undefined);
      waitMs = Math.min(waitMs * 2, pollMs.max);
    }
  }

  private async start(
    topic: string,
    action: DeadLetterAction,
    options: RedriveOptions,
  ): Promise<DeadLetterJob> {
    const { to = '', recordsPerSecondMax = 0, dryRun = false } = options;
    const { job } = await this.connection.unary(startDeadLetterJob, {
      topic,
      action,
      filter: filterToProto(options),
      to,
      recordsPerSecondMax,
      dryRun,
    });
    return jobFromProto(present(job));
  }
}

function added(one: DeadLetterCount, other: DeadLetterCount): DeadLetterCount {
  return {
    ...one,
    letters: one.letters + other.letters,
    oldestMs: Math.min(one.oldestMs, other.oldestMs),
    newestMs: Math.max(one.newestMs, other.newestMs),
  };
}
