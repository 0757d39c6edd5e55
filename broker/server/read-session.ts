// One Read: sends records of some partitions in offset order, then follows the end.
//
// Invariants:
// - Offsets of a partition rise without a gap that is not told.
// - One frame at a time is on its way into HTTP/2: a reader that stops reading costs one frame, whatever its backlog.
// - Partitions take turns by frames; none waits for another to be caught up, or for another's cold records.
// - While a quota of its tenant is used up nothing is sent, and the reader is told.
// - An object store that fails holds up the partitions that need it: they are told and tried again with back-off.
import { create, toBinary } from '@bufbuild/protobuf';
import type { ServerWritableStream } from '@grpc/grpc-js';
import type { Hold } from '../access/quota-state.ts';
import type { OpenTopic } from '../cluster/open-topic.ts';
import { topicNotFound } from '../cluster/open-topic.ts';
import type { Clock } from '../core/clock.ts';
import { toBrokerError, type BrokerError } from '../core/errors.ts';
import { limits } from '../core/limits.ts';
import type { PartitionLog } from '../log/partition-log.ts';
import type { StoredBatch } from '../log/stored-batch.ts';
import { RunSource } from '../subscription/run-source.ts';
import { ReaderOpenedSchema } from '../../proto/gen/millrace/v1/read_pb.ts';
import {
  BlockReason,
  GapReason,
  GapSchema,
  NoticeKind,
  NoticeSchema,
} from '../../proto/gen/millrace/v1/stream_pb.ts';
import { WireWriter } from '../../proto/wire/writer.ts';
import { boundStreamBuffers } from './grpc-window.ts';
import { HeldBack, throttledNotice } from './held-back.ts';
import { serviceError } from './status.ts';
import { writeDelivery, writeProgress } from './wire/delivery-codec.ts';

const field = { opened: 1, gaps: 3, progress: 4, notice: 5 } as const;

/** Where a reader is in one partition. */
interface ReadPlace {
  readonly partition: number;
  readonly log: PartitionLog;
  readonly source: RunSource;
  next: number;
  /** End at open; with stop_at_end nothing from there on is sent. */
  readonly stopAt: number;
  /** Offset for which "caught up" was told last. */
  toldCaughtUpAt: number;
  /** Its next records are being loaded, or will be tried again later. */
  isWaiting: boolean;
  /** Loads that failed in a row. */
  failures: number;
}

/** Back-off of a partition whose cold records cannot be read. */
const retryMs = { min: 100, max: 5_000 } as const;

export interface ReadPlan {
  readonly topic: OpenTopic;
  readonly places: readonly {
    readonly partition: number;
    readonly log: PartitionLog;
    readonly start: number;
  }[];
  readonly stopAtEnd: boolean;
  /** Infinity: no limit. */
  readonly recordsMax: number;
}

export class ReadSession {
  private readonly call: ServerWritableStream<Buffer, Buffer>;
  private readonly clock: Clock;
  private readonly topic: OpenTopic;
  private readonly places: readonly ReadPlace[];
  private readonly stopAtEnd: boolean;
  private recordsLeft: number;
  private readonly stops: (() => void)[] = [];
  private readonly heldBack: HeldBack;
  private isEnded = false;
  /** Calls the loop back when there may be more to do. */
  private wake: (() => void) | undefined;
  private firstPlace = 0;
  /** Partitions whose cold records cannot be read now. */
  private failing = 0;

  constructor(call: ServerWritableStream<Buffer, Buffer>, plan: ReadPlan, clock: Clock) {
    this.call = call;
    this.clock = clock;
    this.topic = plan.topic;
    this.stopAtEnd = plan.stopAtEnd;
    this.recordsLeft = plan.recordsMax;
    this.places = plan.places.map(({ partition, log, start }) => ({
      partition,
      log,
      source: new RunSource(log),
      next: start,
      stopAt: log.endOffset,
      toldCaughtUpAt: -1,
      isWaiting: false,
      failures: 0,
    }));
    boundStreamBuffers(call);
    const { quota } = plan.topic;
    this.heldBack = new HeldBack(clock, {
      hold: (nowMs) => quota.deliveryHold(nowMs),
      onHeld: (hold) => this.tellHeld(hold),
      onRoom: () => this.wake?.(),
    });
    this.stops.push(() => this.heldBack.end(), quota.openStream(call.getPeer()));
    const stir = (): void => this.wake?.();
    call.on('cancelled', () => this.end());
    call.on('error', () => this.end());
    call.on('drain', stir);
    for (const { log } of this.places) this.stops.push(log.onVisible(stir));
    this.stops.push(
      plan.topic.onDeleted(() => this.close(topicNotFound(plan.topic.topic.name.full))),
    );
  }

  /** Sends until the client leaves, the end is reached, or something fails. */
  async run(): Promise<void> {
    try {
      this.write(this.openedFrame());
      while (!this.isEnded) {
        if (this.isDone()) {
          this.finish();
          return;
        }
        const sent = this.sendRound();
        if (!sent || this.call.writableNeedDrain) await this.nextChange(!sent);
      }
    } catch (error) {
      this.close(toBrokerError(error));
    }
  }

  announceClosing(graceMs: number): void {
    this.writeNotice(NoticeKind.CLOSING, [], graceMs);
  }

  close(error: BrokerError): void {
    if (this.isEnded) return;
    this.end();
    this.call.emit('error', serviceError(error));
  }

  /** One frame of the next partition that has something. False when none has. */
  private sendRound(): boolean {
    const { places } = this;
    if (this.heldBack.look()) return false;
    for (let i = 0; i < places.length; i++) {
      const place = places[(this.firstPlace + i) % places.length] as ReadPlace;
      const frame = this.nextFrame(place);
      if (frame === undefined) continue;
      this.firstPlace = (this.firstPlace + i + 1) % places.length;
      this.write(frame);
      return true;
    }
    return false;
  }

  private nextFrame(place: ReadPlace): WireWriter | undefined {
    const { log, partition } = place;
    if (place.isWaiting) return undefined;
    if (place.next < log.startOffset) return this.gapFrame(place);
    const end = this.stopAtEnd ? place.stopAt : log.endOffset;
    if (place.next >= end || this.recordsLeft <= 0) return this.caughtUpFrame(place);
    const batches = log.read(place.next, limits.deliveryFrameBytes);
    if (batches === undefined) {
      void this.load(place);
      return undefined;
    }
    this.noteReadable(place);
    const bytes = batches.reduce((sum, batch) => sum + batch.header.bodyBytes + 64, 64);
    const writer = new WireWriter(bytes);
    for (const batch of batches) {
      if (place.next >= end || this.recordsLeft <= 0) break;
      this.addBatch(writer, place, batch, end);
    }
    if (place.next >= log.endOffset) this.addProgress(writer, partition, place);
    return writer;
  }

  /** Brings a partition's next records into memory; the loop goes on with the others meanwhile. */
  private async load(place: ReadPlace): Promise<void> {
    place.isWaiting = true;
    try {
      await place.log.load(place.next);
    } catch (thrown) {
      const error = toBrokerError(thrown);
      if (error.kind !== 'unavailable') {
        this.close(error);
        return;
      }
      if (place.failures === 0 && this.failing++ === 0) {
        this.writeNotice(NoticeKind.BLOCKED, [BlockReason.COLD_READ_FAILING]);
      }
      const waitMs = Math.min(retryMs.max, retryMs.min * 2 ** place.failures++);
      await new Promise<void>((resolve) => this.clock.after(waitMs, resolve));
    }
    place.isWaiting = false;
    this.wake?.();
  }

  private noteReadable(place: ReadPlace): void {
    if (place.failures === 0) return;
    place.failures = 0;
    if (--this.failing === 0) this.writeNotice(NoticeKind.UNBLOCKED, []);
  }

  private writeNotice(kind: NoticeKind, blockReasons: BlockReason[], retryAfterMs = 0): void {
    if (this.isEnded) return;
    const writer = new WireWriter();
    const notice = create(NoticeSchema, { kind, blockReasons, retryAfterMs });
    writer.bytes(field.notice, toBinary(NoticeSchema, notice));
    this.write(writer);
  }

  private tellHeld(hold: Hold): void {
    this.topic.quota.noteHeldBack(hold);
    const writer = new WireWriter(128);
    writer.bytes(field.notice, throttledNotice(hold));
    this.write(writer);
  }

  private addBatch(writer: WireWriter, place: ReadPlace, batch: StoredBatch, end: number): void {
    const { header } = batch;
    const last = Math.min(batch.lastOffset, end - 1, place.next + this.recordsLeft - 1);
    const run = place.source.cutBatch(batch, place.next, last);
    this.topic.quota.delivered(run.batch.length, this.clock.monotonicMs());
    writeDelivery(writer, {
      partition: place.partition,
      baseOffset: run.baseOffset,
      appendTimeMs: header.appendTimeMs,
      epoch: header.epoch,
      attempt: 0,
      lease: 0,
      selected: run.selected,
      batch: run.batch,
    });
    this.recordsLeft -= last - place.next + 1;
    place.next = last + 1;
  }

  private gapFrame(place: ReadPlace): WireWriter {
    const writer = new WireWriter();
    const { startOffset } = place.log;
    const gap = create(GapSchema, {
      partition: place.partition,
      firstOffset: BigInt(place.next),
      lastOffset: BigInt(startOffset - 1),
      reason: GapReason.EXPIRED,
    });
    writer.bytes(field.gaps, toBinary(GapSchema, gap));
    place.next = startOffset;
    return writer;
  }

  private caughtUpFrame(place: ReadPlace): WireWriter | undefined {
    if (place.toldCaughtUpAt === place.next) return undefined;
    const writer = new WireWriter(64);
    this.addProgress(writer, place.partition, place);
    return writer;
  }

  private addProgress(writer: WireWriter, partition: number, place: ReadPlace): void {
    place.toldCaughtUpAt = place.next;
    writeProgress(writer, field.progress, partition, place.next, place.log.endOffset);
  }

  private openedFrame(): WireWriter {
    const opened = create(ReaderOpenedSchema, {
      partitionCount: this.topic.logs.length,
      partitions: this.places.map(({ partition, next, log }) => ({
        partition,
        nextOffset: BigInt(next),
        endOffset: BigInt(log.endOffset),
      })),
    });
    const writer = new WireWriter();
    writer.bytes(field.opened, toBinary(ReaderOpenedSchema, opened));
    return writer;
  }

  private isDone(): boolean {
    if (this.recordsLeft <= 0) return true;
    return this.stopAtEnd && this.places.every(({ next, stopAt }) => next >= stopAt);
  }

  private write(writer: WireWriter): void {
    this.call.write(writer.finish());
  }

  /** Resolves when there is more to send, or when what was sent has been taken. */
  private async nextChange(caughtUp: boolean): Promise<void> {
    if (caughtUp && this.hasMore()) return;
    await new Promise<void>((resolve) => {
      this.wake = () => {
        if (this.call.writableNeedDrain && !this.isEnded) return;
        this.wake = undefined;
        resolve();
      };
    });
  }

  private hasMore(): boolean {
    if (this.heldBack.isHeld) return false;
    return this.places.some(
      ({ next, log, isWaiting, stopAt }) =>
        !isWaiting && next < (this.stopAtEnd ? stopAt : log.endOffset),
    );
  }

  private finish(): void {
    this.end();
    this.call.end();
  }

  private end(): void {
    if (this.isEnded) return;
    this.isEnded = true;
    for (const stop of this.stops) stop();
    this.wake?.();
  }
}
