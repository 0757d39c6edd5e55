// One PublishStream: publishers opened by handle, appends scanned and handed to the log, answers gathered per commit.
//
//   open ──client half-closes──▶ finishing ──last answer sent──▶ ended
//     └────────── cancelled, protocol error, shutdown ──────────▶ ended
//
// Invariants:
// - Answers of a handle and partition come in the order of its appends.
// - A bad open or append is answered as an item and never ends the stream.
// - The stream is not read while it has more than its window unanswered, while the broker's publish budget is used
//   up, while a quota is, or while its own answers are not taken. Held back by a quota it has in the budget
//   only what is on its way to the disk anyway, so other tenants have all of it.
import { create, toBinary } from '@bufbuild/protobuf';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { Hold, StreamHold } from '../access/quota-state.ts';
import type { TopicQuota } from '../access/topic-quota.ts';
import { scanBatch } from '../batch/scan.ts';
import type { Broker } from '../cluster/broker.ts';
import type { OpenPublisher } from '../cluster/open-publisher.ts';
import { BrokerError, toBrokerError } from '../core/errors.ts';
import { limits } from '../core/limits.ts';
import type { WhenDurable } from '../log/append-entry.ts';
import type { AppendRequest, PartitionLog } from '../log/partition-log.ts';
import {
  AppendResultSchema,
  PublisherOpenedSchema,
  type PublisherOpen,
} from '../../proto/gen/millrace/v1/publish_pb.ts';
import { NoticeKind, NoticeSchema } from '../../proto/gen/millrace/v1/stream_pb.ts';
import { WireWriter } from '../../proto/wire/writer.ts';
import { deliveryTerms } from './delivery-terms.ts';
import type { Caller, Opened } from './caller.ts';
import { boundStreamBuffers } from './grpc-window.ts';
import { HeldBack, throttledNotice } from './held-back.ts';
import { errorItem, serviceError } from './status.ts';
import { decodePublishFrame, writeAppendResult, type AppendFrame } from './wire/publish-codec.ts';

const field = { opened: 1, results: 2, notice: 3 } as const;

type Publisher = AllowedPublisher | 'opening';

/** `denied`: the right to publish there was revoked since it was opened. */
interface AllowedPublisher {
  readonly publisher: OpenPublisher;
  readonly right: Opened;
  /** Tells the quotas that the publisher is gone. */
  readonly leaveQuota: () => void;
  denied: BrokerError | undefined;
}

export class PublishSession {
  private readonly call: ServerDuplexStream<Buffer, Buffer>;
  private readonly broker: Broker;
  private readonly caller: Caller;
  private readonly publishers = new Map<number, Publisher>();
  private opening = 0;
  /** Frames that wait for an open to finish: appends must not overtake it. */
  private waiting: Buffer[] = [];
  /** The rest of the frame that holds the open. */
  private afterOpens: (() => void) | undefined;
  private state: 'open' | 'finishing' | 'ended' = 'open';
  private unansweredBytes = 0;
  private unanswered = 0;
  private answers: WireWriter | undefined;
  private outputFull = false;
  private paused = false;
  private readonly stopWaiting: () => void;
  /** Whose quotas were charged and may be used up. */
  private readonly charged = new Set<TopicQuota>();
  private readonly heldBack: HeldBack;

  constructor(call: ServerDuplexStream<Buffer, Buffer>, broker: Broker, caller: Caller) {
    this.call = call;
    this.broker = broker;
    this.caller = caller;
    boundStreamBuffers(call);
    this.heldBack = new HeldBack(broker.clock, {
      hold: (nowMs) => this.hold(nowMs),
      onHeld: (hold) => this.tellHeld(hold),
      onRoom: () => this.flowControl(),
    });
    this.stopWaiting = broker.publishBudget.onRoom(() => this.flowControl());
    call.on('data', (frame: Buffer) => this.receive(frame));
    call.on('end', () => this.finish());
    call.on('cancelled', () => this.end());
    call.on('error', () => this.end());
    call.on('drain', () => {
      this.outputFull = false;
      this.flowControl();
    });
  }

  /** The broker shuts down: the client is told to go on elsewhere; answers still owed come. */
  announceClosing(graceMs: number): void {
    const notice = create(NoticeSchema, { kind: NoticeKind.CLOSING, retryAfterMs: graceMs });
    this.answer().bytes(field.notice, toBinary(NoticeSchema, notice));
  }

  close(error: BrokerError): void {
    if (this.state === 'ended') return;
    this.flush();
    this.call.emit('error', serviceError(error));
    this.end();
  }

  private receive(frame: Buffer): void {
    if (this.state === 'ended') return;
    if (this.opening > 0) this.waiting.push(frame);
    else this.handle(frame);
    this.flowControl();
  }

  private handle(frame: Buffer): void {
    try {
      const { opens, appends, closes } = decodePublishFrame(frame);
      if (opens.length > 0) {
        for (const open of opens) this.open(open);
        if (this.opening > 0 && (appends.length > 0 || closes.length > 0)) {
          this.afterOpens = () => this.handleItems(frame, appends, closes);
          return;
        }
      }
      this.handleItems(frame, appends, closes);
    } catch (error) {
      this.close(toBrokerError(error));
    }
  }

  private handleItems(
    frame: Buffer,
    appends: readonly AppendFrame[],
    closes: readonly number[],
  ): void {
    for (const append of appends) this.append(frame, append);
    for (const handle of closes) this.closePublisher(handle);
  }

  private open(open: PublisherOpen): void {
    const { handle } = open;
    if (this.publishers.has(handle)) {
      const error = new BrokerError(
        'HANDLE_IN_USE',
        `handle ${handle} is open already; choose another one`,
      );
      this.answerOpen(handle, error);
      return;
    }
    if (this.publishers.size >= limits.publishersPerStreamMax) {
      const error = new BrokerError(
        'LIMIT_REACHED',
        `a stream has at most ${limits.publishersPerStreamMax} publishers; close some or open another stream`,
        { metadata: { limit: 'publishersPerStreamMax' } },
      );
      this.answerOpen(handle, error);
      return;
    }
    this.publishers.set(handle, 'opening');
    this.opening++;
    void this.openAllowed(open).then(
      (publisher) => this.opened(handle, publisher),
      (error: unknown) => this.opened(handle, toBrokerError(error)),
    );
  }

  private async openAllowed(open: PublisherOpen): Promise<AllowedPublisher> {
    let revoked: BrokerError | undefined;
    let allowed: AllowedPublisher | undefined;
    const right = this.caller.open(open.topic, (denied) => {
      revoked = denied;
      if (allowed !== undefined) allowed.denied = denied;
    });
    try {
      const { topic, publisher: name, publisherEpoch } = open;
      const publisher = await this.broker.openPublisher(topic, name, publisherEpoch);
      allowed = { publisher, right, leaveQuota: this.enterQuota(publisher), denied: revoked };
      return allowed;
    } catch (error) {
      right.release();
      throw error;
    }
  }

  /** Counts the connection of its tenant. Throws QUOTA_EXCEEDED. */
  private enterQuota(publisher: OpenPublisher): () => void {
    try {
      return publisher.topic.quota.openStream(this.call.getPeer());
    } catch (error) {
      publisher.close();
      throw error;
    }
  }

  private opened(handle: number, allowed: AllowedPublisher | BrokerError): void {
    this.opening--;
    if (this.state === 'ended') {
      if (!(allowed instanceof BrokerError)) closeAllowed(allowed);
      return;
    }
    if (allowed instanceof BrokerError) this.publishers.delete(handle);
    else this.publishers.set(handle, allowed);
    this.answerOpen(handle, allowed instanceof BrokerError ? allowed : allowed.publisher);
    if (this.opening > 0) return;
    const items = this.afterOpens;
    this.afterOpens = undefined;
    items?.();
    const frames = this.waiting;
    this.waiting = [];
    for (const frame of frames) this.receive(frame);
    this.flowControl();
    this.endWhenAnswered();
  }

  private answerOpen(handle: number, publisher: OpenPublisher | BrokerError): void {
    const opened =
      publisher instanceof BrokerError
        ? create(PublisherOpenedSchema, { handle, error: errorItem(publisher) })
        : create(PublisherOpenedSchema, {
            handle,
            publisher: publisher.name,
            publisherEpoch: publisher.epoch,
            partitionCount: publisher.topic.logs.length,
            windowBytes: limits.publishWindowBytes,
            batchBytesMax: publisher.topic.batchBytesMax,
            partitions: publisher.lastSequences().map(({ partition, lastSequence }) => ({
              partition,
              lastSequence: BigInt(lastSequence),
            })),
          });
    this.answer().bytes(field.opened, toBinary(PublisherOpenedSchema, opened));
  }

  private append(frame: Buffer, append: AppendFrame): void {
    const bytes = append.batchEnd - append.batchStart;
    let log: PartitionLog | undefined;
    try {
      const publisher = this.publisherOf(append.handle);
      log = publisher.topic.log(append.partition);
      const request = this.requestOf(frame, append, publisher);
      const whenDurable: WhenDurable = (baseOffset, recordCount, duplicate) => {
        this.unansweredBytes -= bytes;
        this.unanswered--;
        this.broker.publishBudget.give(bytes);
        if (this.state === 'ended') return;
        const { handle, partition, sequence } = append;
        const writer = this.answer();
        writeAppendResult(writer, handle, partition, sequence, baseOffset, recordCount, duplicate);
      };
      this.broker.append(log, request, whenDurable, 'held');
      this.charged.add(publisher.topic.quota);
      this.unansweredBytes += bytes;
      this.unanswered++;
      this.broker.publishBudget.take(bytes);
    } catch (thrown) {
      this.answerRefused(append, log, thrown);
    }
  }

  /** The append of a scanned batch; throws what is wrong with it. */
  private requestOf(frame: Buffer, append: AppendFrame, publisher: OpenPublisher): AppendRequest {
    const { batchStart, batchEnd, batchCount, sequence, expectedOffset } = append;
    if (batchCount !== 1) {
      throw new BrokerError(
        'BATCH_NOT_CANONICAL',
        `an append holds its batch once, not ${batchCount} times`,
      );
    }
    const scan = scanBatch(frame, batchStart, batchEnd, publisher.topic.batchBytesMax);
    if (!scan.ok) throw new BrokerError(scan.reason, scan.message);
    const { recordCount, compressed, keyed } = scan;
    const body = frame.subarray(batchStart, batchEnd);
    const terms = deliveryTerms(append, this.broker.nowMs());
    return { publisher, sequence, expectedOffset, body, recordCount, compressed, keyed, terms };
  }

  /** Behind the answers of the appends before it, which come when their commit is durable. */
  private answerRefused(append: AppendFrame, log: PartitionLog | undefined, thrown: unknown): void {
    const { handle, partition, sequence } = append;
    const result = create(AppendResultSchema, {
      handle,
      partition,
      sequence: BigInt(sequence),
      error: errorItem(thrown),
    });
    const bytes = toBinary(AppendResultSchema, result);
    if (log === undefined || this.unanswered === 0) {
      this.answer().bytes(field.results, bytes);
      return;
    }
    this.unanswered++;
    void log.behindAppends().then(() => {
      this.unanswered--;
      if (this.state !== 'ended') this.answer().bytes(field.results, bytes);
    });
  }

  private publisherOf(handle: number): OpenPublisher {
    const publisher = this.publishers.get(handle);
    if (publisher === undefined || publisher === 'opening') {
      throw new BrokerError(
        'HANDLE_UNKNOWN',
        `no publisher is open as handle ${handle}; open one first`,
      );
    }
    if (publisher.denied !== undefined) throw publisher.denied;
    publisher.publisher.check();
    return publisher.publisher;
  }

  private closePublisher(handle: number): void {
    const publisher = this.publishers.get(handle);
    if (publisher === undefined || publisher === 'opening') return;
    closeAllowed(publisher);
    this.publishers.delete(handle);
  }

  /** Where the next answers go; they are sent when the present turn of work is done. */
  private answer(): WireWriter {
    if (this.answers === undefined) {
      this.answers = new WireWriter(512);
      queueMicrotask(() => this.flush());
    }
    return this.answers;
  }

  private flush(): void {
    const { answers } = this;
    this.answers = undefined;
    if (answers === undefined || this.state === 'ended') return;
    if (!this.call.write(answers.finish())) this.outputFull = true;
    this.flowControl();
    this.endWhenAnswered();
  }

  private flowControl(): void {
    if (this.state === 'ended') return;
    const hold =
      this.unansweredBytes > limits.publishWindowBytes ||
      this.waiting.length > 0 ||
      this.outputFull ||
      this.heldBack.look() ||
      this.broker.publishBudget.isUsedUp;
    if (hold === this.paused) return;
    this.paused = hold;
    if (hold) this.call.pause();
    else this.call.resume();
  }

  /** Of all quotas that this stream has charged, the one that takes longest; the others are forgotten. */
  private hold(nowMs: number): StreamHold | undefined {
    let longest: StreamHold | undefined;
    for (const quota of this.charged) {
      const hold = quota.publishHold(nowMs);
      if (hold === undefined) this.charged.delete(quota);
      else if (longest === undefined || hold.waitMs > longest.waitMs) longest = hold;
    }
    return longest;
  }

  private tellHeld(hold: Hold): void {
    for (const quota of this.charged) if (quota.noteHeldBack(hold)) break;
    this.answer().bytes(field.notice, throttledNotice(hold));
  }

  private finish(): void {
    if (this.state !== 'open') return;
    this.state = 'finishing';
    this.endWhenAnswered();
  }

  private endWhenAnswered(): void {
    if (this.state !== 'finishing' || this.unanswered > 0 || this.opening > 0) return;
    if (this.answers !== undefined) return;
    this.end();
    this.call.end();
  }

  private end(): void {
    if (this.state === 'ended') return;
    this.state = 'ended';
    this.stopWaiting();
    this.heldBack.end();
    for (const publisher of this.publishers.values()) {
      if (publisher !== 'opening') closeAllowed(publisher);
    }
    this.publishers.clear();
    this.waiting = [];
  }
}

function closeAllowed({ publisher, right, leaveQuota }: AllowedPublisher): void {
  right.release();
  leaveQuota();
  publisher.close();
}
