// What operators do with dead letters: see which topics have some, count and look at them, bring them back, remove
// them.
//
// Invariants:
// - Counting and looking change nothing.
// - A job is durable in the catalog before it begins, and goes on by itself after a restart until it has ended there.
import type { CatalogEvent } from '../catalog/catalog-events.ts';
import {
  checkedFilter,
  type DeadLetterFigures,
  type DeadLetterFilter,
  type DeadLetterJob,
  type DeadLetterJobSpec,
} from '../catalog/dead-letter-job.ts';
import { planEndJob, planStartJob } from '../catalog/dead-letter-job-plan.ts';
import { pageOf, type Page, type PageRequest } from '../catalog/page.ts';
import { parseSubscriptionName } from '../catalog/names.ts';
import type { Clock } from '../core/clock.ts';
import { BrokerError, toBrokerError } from '../core/errors.ts';
import type { FailPoint } from '../core/fail-point.ts';
import { limits } from '../core/limits.ts';
import type { Log } from '../core/log.ts';
import type { CatalogStore } from '../shard/catalog-store.ts';
import { matches } from './dead-letter-filter.ts';
import { DeadLetterRun } from './dead-letter-run.ts';
import { after, letters, type FoundLetter, type ScanPosition } from './dead-letter-scan.ts';
import { deadLettersSubscription } from './dead-letter-topics.ts';
import type { OpenSubscription } from './open-subscription.ts';
import type { OpenTopic } from './open-topic.ts';
import type { TopicDirectory } from './topic-directory.ts';

export interface DeadLettersContext {
  readonly catalog: CatalogStore;
  readonly directory: TopicDirectory;
  readonly clock: Clock;
  readonly log: Log;
  readonly failPoint: FailPoint;
  /** Throws NAME_INVALID, TENANT_NOT_FOUND, TOPIC_NOT_FOUND. */
  topic(name: string): OpenTopic;
}

/** A topic that holds dead letters, or that some subscription sends them to. */
export interface DeadLetterTopic {
  /** Full name. */
  readonly name: string;
  /** It need not exist yet. */
  readonly exists: boolean;
  readonly letters: number;
  /** When the oldest of them died, ms; 0: there are none. */
  readonly oldestMs: number;
  /** Subscriptions that send there. */
  readonly sources: readonly { readonly topic: string; readonly subscription: string }[];
}

/** Letters of one origin and reason. */
export interface LetterCount {
  /** Empty: published by hand. */
  readonly originTopic: string;
  readonly originSubscription: string;
  readonly reason: FoundLetter['reason'];
  readonly letters: number;
  readonly oldestMs: number;
  readonly newestMs: number;
}

/** `next` undefined: there are no more. */
export interface LetterPage {
  readonly letters: readonly FoundLetter[];
  readonly next: ScanPosition | undefined;
}

export interface JobStatus {
  readonly job: DeadLetterJob;
  /** Full name. */
  readonly topic: string;
  readonly figures: DeadLetterFigures;
  readonly waitingFor: string;
}

interface RunningJob {
  readonly run: DeadLetterRun;
  readonly stop: AbortController;
}

const pageDefault = 10;
/** A page ends when it has so many bytes; one letter always fits. */
const pageBytesMax = 1024 * 1024;

export class DeadLetters {
  private readonly context: DeadLettersContext;
  private readonly running = new Map<number, RunningJob>();

  constructor(context: DeadLettersContext) {
    this.context = context;
  }

  /** Goes on with what a stop interrupted, and forgets the counts of what has ended. */
  open(): void {
    const { catalog, directory } = this.context;
    for (const job of this.jobs.all()) if (job.state === 'running') this.start(job);
    for (const subscription of catalog.state.subscriptions()) {
      if (subscription.name !== deadLettersSubscription) continue;
      const open = directory.byTopicId(subscription.topicId);
      for (const { letters: outbox } of directory.openSubscription(open, subscription).queues()) {
        for (const job of outbox.jobs()) if (!this.running.has(job)) outbox.forget(job);
      }
    }
  }

  /**
   * Those that hold letters, and those that are named, in the order of names; of both, and of what sends there, only
   * what `mayView`. Throws ARGUMENT_INVALID.
   */
  topics(request: PageRequest, mayView: (topic: string) => boolean): Page<DeadLetterTopic> {
    const { catalog, directory } = this.context;
    const sourcesOf = new Map<string, { topic: string; subscription: string }[]>();
    const sources = (name: string) => {
      const known = sourcesOf.get(name) ?? [];
      sourcesOf.set(name, known);
      return known;
    };
    for (const { topicId, name, spec } of catalog.state.subscriptions()) {
      const topic = catalog.state.topicById(topicId)?.name.full;
      if (topic === undefined) continue;
      if (name === deadLettersSubscription) sources(topic);
      if (spec.deadLetterTopic !== '') {
        sources(spec.deadLetterTopic).push({ topic, subscription: name });
      }
    }
    const names = [...sourcesOf.keys()].filter(mayView).sort();
    return pageOf(
      request,
      '',
      (text) => names.filter((name) => name >= text),
      (name) => {
        const open = directory.find(name);
        return {
          name,
          exists: open !== undefined,
          sources: sources(name).filter(({ topic }) => mayView(topic)),
          ...this.holding(open),
        };
      },
    );
  }

  /** Looks at some of the letters only: go on at `next`. */
  async count(
    topicName: string,
    filter: DeadLetterFilter,
    from: ScanPosition,
  ): Promise<{ counts: LetterCount[]; damaged: number; next: ScanPosition | undefined }> {
    const checked = checkedFilter(filter);
    const groups = new Map<string, LetterCount>();
    let damaged = 0;
    let left = limits.deadLettersPerCallMax;
    for await (const found of letters(this.holder(this.context.topic(topicName)), from)) {
      if (found.kind === 'damaged') damaged++;
      else if (matches(checked, found, found.appendTimeMs)) count(groups, found);
      if (--left === 0) return { counts: [...groups.values()], damaged, next: after(found) };
    }
    return { counts: [...groups.values()], damaged, next: undefined };
  }

  /** `lettersMax` 0: the default. Damaged letters are left out. Throws ARGUMENT_INVALID. */
  async peek(
    topicName: string,
    filter: DeadLetterFilter,
    from: ScanPosition,
    lettersMax: number,
  ): Promise<LetterPage> {
    const checked = checkedFilter(filter);
    const most = checkPageSize(lettersMax);
    const page: FoundLetter[] = [];
    let bytes = 0;
    let left = limits.deadLettersPerCallMax;
    for await (const found of letters(this.holder(this.context.topic(topicName)), from)) {
      if (found.kind === 'letter' && matches(checked, found, found.appendTimeMs)) {
        // A copy: the page outlives this turn.
        page.push({ ...found, batch: Buffer.from(found.batch) });
        bytes += found.batch.length;
      }
      if (--left === 0 || page.length >= most || bytes >= pageBytesMax) {
        return { letters: page, next: after(found) };
      }
    }
    return { letters: page, next: undefined };
  }

  /** Durable when it resolves. Throws SPEC_INVALID, SUBSCRIPTION_NOT_FOUND, LIMIT_REACHED. */
  async startJob(topicName: string, spec: DeadLetterJobSpec): Promise<JobStatus> {
    const { catalog, clock } = this.context;
    const open = this.context.topic(topicName);
    const until = open.logs.map(({ endOffset }) => endOffset);
    if (spec.to !== '') this.context.topic(spec.to);
    const { job } = await catalog.change((state) => {
      const subscription = state.requireSubscription(
        open.topic,
        parseSubscriptionName(deadLettersSubscription),
      );
      return planStartJob(state, open.topic, subscription, spec, until, clock.wallMs());
    });
    this.start(job);
    return this.status(job);
  }

  /** Throws TOPIC_NOT_FOUND, JOB_NOT_FOUND. */
  job(topicName: string, id: string): JobStatus {
    return this.status(this.require(this.context.topic(topicName), id));
  }

  /** The newest first. */
  jobsOf(topicName: string): JobStatus[] {
    const { topic } = this.context.topic(topicName);
    return this.jobs
      .ofTopic(topic.id)
      .reverse()
      .map((job) => this.status(job));
  }

  /** Resolves when nothing of it is on its way. One that has ended stays as it is. */
  async cancel(topicName: string, id: string): Promise<JobStatus> {
    const topic = this.context.topic(topicName);
    const job = this.require(topic, id);
    const running = this.running.get(job.id);
    if (running !== undefined) {
      running.stop.abort();
      await running.run.giveUp();
      await this.end(job.id, 'cancelled', running.run);
    }
    return this.status(this.require(topic, id));
  }

  /** Jobs go on at the next start. */
  close(): void {
    for (const { stop } of this.running.values()) stop.abort();
  }

  private get jobs() {
    return this.context.catalog.state.deadLetterJobs;
  }

  private start(job: DeadLetterJob): void {
    const { clock, directory, catalog, log } = this.context;
    const open = directory.byTopicId(job.topicId);
    const { topic } = open;
    const stop = new AbortController();
    const run = new DeadLetterRun(job, {
      clock,
      subscription: this.holder(open),
      tenant: topic.name.tenant,
      signal: stop.signal,
      exists: () => this.jobs.get(job.id) !== undefined,
      lookup: {
        topic: (name) => directory.find(name),
        subscription: (id, name) => catalog.state.subscription(id, name),
      },
    });
    this.running.set(job.id, { run, stop });
    const finished = run.run().then(async () => {
      if (!stop.signal.aborted) await this.end(job.id, 'done', run);
    });
    finished.catch((thrown: unknown) => {
      // Its topic was deleted, and the job with it; else it goes on at the next start.
      const { message: cause } = toBrokerError(thrown);
      log.warn('a job on dead letters has stopped', { job: job.id, topic: topic.name.full, cause });
      this.running.delete(job.id);
    });
  }

  private async end(id: number, how: 'done' | 'cancelled', run: DeadLetterRun): Promise<void> {
    const { catalog, clock, failPoint } = this.context;
    await failPoint('redrive-before-end');
    const { figures } = run;
    await catalog.change((state): { events: readonly CatalogEvent[] } =>
      planEndJob(state, id, how, figures, clock.wallMs()),
    );
    this.running.delete(id);
    run.forget();
  }

  private status(job: DeadLetterJob): JobStatus {
    const topic = this.context.directory.byTopicId(job.topicId).topic.name.full;
    const running = this.running.get(job.id);
    if (running === undefined) return { job, topic, figures: job.figures, waitingFor: '' };
    const { figures, waitingFor } = running.run;
    return { job, topic, figures, waitingFor };
  }

  private require({ topic }: OpenTopic, id: string): DeadLetterJob {
    const job = /^[1-9]\d{0,15}$/.test(id) ? this.jobs.get(Number(id)) : undefined;
    if (job !== undefined && job.topicId === topic.id) return job;
    throw new BrokerError(
      'JOB_NOT_FOUND',
      `there is no job ${id.slice(0, 20)} on the dead letters of ${topic.name.full}; see millrace dlq jobs`,
      { metadata: { topic: topic.name.full } },
    );
  }

  /** Throws SUBSCRIPTION_NOT_FOUND. */
  private holder(open: OpenTopic): OpenSubscription {
    const { catalog, directory } = this.context;
    const name = parseSubscriptionName(deadLettersSubscription);
    const subscription = catalog.state.requireSubscription(open.topic, name);
    return directory.openSubscription(open, subscription);
  }

  private holding(open: OpenTopic | undefined): { letters: number; oldestMs: number } {
    const none = { letters: 0, oldestMs: 0 };
    if (open === undefined) return none;
    const { state } = this.context.catalog;
    const name = parseSubscriptionName(deadLettersSubscription);
    const subscription = state.subscription(open.topic.id, name);
    if (subscription === undefined) return none;
    let count = 0;
    let oldestMs = 0;
    for (const { status } of this.context.directory.openSubscription(open, subscription).status()) {
      const { ready, inFlight, waiting, delayed, dead, oldestUnackedMs } = status;
      count += ready + inFlight + waiting + delayed + dead;
      if (oldestUnackedMs > 0) oldestMs = Math.min(oldestMs || Infinity, oldestUnackedMs);
    }
    return { letters: count, oldestMs };
  }
}

/** Groups are as many as there are origins: bounded by the letters of one call. */
function count(groups: Map<string, LetterCount>, letter: FoundLetter): void {
  const { origin, reason, appendTimeMs } = letter;
  const originTopic = origin?.topic ?? '';
  const originSubscription = origin?.subscription ?? '';
  const key = JSON.stringify([originTopic, originSubscription, reason]);
  const known = groups.get(key);
  groups.set(key, {
    originTopic,
    originSubscription,
    reason,
    letters: (known?.letters ?? 0) + 1,
    oldestMs: Math.min(known?.oldestMs ?? Infinity, appendTimeMs),
    newestMs: Math.max(known?.newestMs ?? 0, appendTimeMs),
  });
}

/** Throws ARGUMENT_INVALID. */
function checkPageSize(size: number): number {
  if (size <= limits.deadLetterPageMax) return size === 0 ? pageDefault : size;
  throw new BrokerError(
    'ARGUMENT_INVALID',
    `letters_max is ${size}; at most ${limits.deadLetterPageMax}`,
  );
}
