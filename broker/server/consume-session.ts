// One ConsumeStream: a consumer of one subscription. Deliveries of a turn are gathered into frames; acks are settled.
//
//   new ──open──▶ opening ──subscription found──▶ open ──▶ ended
//
// Invariants:
// - Nothing is delivered without credit of records and bytes; credit may go below zero by one delivery.
// - While a quota of its tenant is used up, the consumer has no credit; it is pumped again when there is room.
// - While HTTP/2 does not take what was written, the consumer has no credit: a stalled client costs one frame.
// - A confirmation is sent only when everything its message settled is durable.
import { create, toBinary, type DescMessage, type MessageInitShape } from '@bufbuild/protobuf';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { Hold } from '../access/quota-state.ts';
import type { TopicQuota } from '../access/topic-quota.ts';
import type { Broker } from '../cluster/broker.ts';
import type { OpenSubscription } from '../cluster/open-subscription.ts';
import { BrokerError, toBrokerError } from '../core/errors.ts';
import { limits } from '../core/limits.ts';
import type { BlockedReason, Consumer, HandOver } from '../subscription/consumer.ts';
import {
  AckConfirmationSchema,
  AckFailureSchema,
  AckVerb,
  ConsumerOpenedSchema,
  LeaseLostSchema,
  PartitionAssignmentSchema,
  type AckFailure,
  type ConsumerOpen,
} from '../../proto/gen/millrace/v1/consume_pb.ts';
import {
  GapReason,
  GapSchema,
  NoticeKind,
  NoticeSchema,
} from '../../proto/gen/millrace/v1/stream_pb.ts';
import { WireWriter } from '../../proto/wire/writer.ts';
import type { Caller } from './caller.ts';
import { boundStreamBuffers } from './grpc-window.ts';
import { HeldBack, throttledNotice } from './held-back.ts';
import { settleRanges } from './settle.ts';
import { serviceError } from './status.ts';
import { blockReasonOf, kindFromProto, kindToProto } from './subscription-convert.ts';
import { decodeConsumeFrame, writeDelivery, type ConsumeFrame } from './wire/delivery-codec.ts';

const field = {
  opened: 1,
  gaps: 3,
  confirmations: 4,
  assignment: 5,
  leasesLost: 6,
  ackFailures: 7,
  notice: 8,
} as const;

const creditMax = 2 ** 31 - 1;

export class ConsumeSession implements Consumer {
  readonly number: number;
  name = '';
  private readonly call: ServerDuplexStream<Buffer, Buffer>;
  private readonly broker: Broker;
  private readonly caller: Caller;
  private subscription: OpenSubscription | undefined;
  private quota: TopicQuota | undefined;
  private readonly heldBack: HeldBack;
  private closeStream = (): void => {};
  private state: 'new' | 'opening' | 'open' | 'ended' = 'new';
  /** Frames that came while the subscription was looked up. */
  private early: ConsumeFrame[] = [];
  private records = 0;
  private bytes = 0;
  private outputFull = false;
  private frame: WireWriter | undefined;

  constructor(call: ServerDuplexStream<Buffer, Buffer>, broker: Broker, caller: Caller) {
    this.call = call;
    this.broker = broker;
    this.caller = caller;
    this.number = broker.nextConsumerNumber();
    boundStreamBuffers(call, 1);
    this.heldBack = new HeldBack(broker.clock, {
      hold: (nowMs) => this.quota?.deliveryHold(nowMs),
      onHeld: (hold) => this.tellHeld(hold),
      onRoom: () => this.subscription?.pump(),
    });
    call.on('data', (frame: Buffer) => this.receive(frame));
    call.on('end', () => {
      this.end();
      call.end();
    });
    call.on('cancelled', () => this.end());
    call.on('error', () => this.end());
    call.on('drain', () => {
      this.outputFull = false;
      this.subscription?.pump();
    });
  }

  // --- Consumer ------------------------------------------------------------------------------------------

  creditRecords(): number {
    if (this.outputFull || this.bytes <= 0 || this.state !== 'open') return 0;
    if (this.records <= 0 || this.heldBack.look()) return 0;
    return this.records;
  }

  deliver(records: HandOver): void {
    this.records -= records.recordCount;
    this.bytes -= records.batch.length;
    this.quota?.delivered(records.batch.length, this.broker.clock.monotonicMs());
    if (this.frame !== undefined && this.frame.length + records.batch.length > frameBytesMax) {
      this.flush();
    }
    writeDelivery(this.output(records.batch.length + 128), records);
    if ((this.frame?.length ?? 0) >= limits.consumeFrameBytes) this.flush();
  }

  gap(partition: number, firstOffset: number, lastOffset: number): void {
    this.put(field.gaps, GapSchema, {
      partition,
      firstOffset: BigInt(firstOffset),
      lastOffset: BigInt(lastOffset),
      reason: GapReason.EXPIRED,
    });
  }

  leaseLost(partition: number, lease: number): void {
    this.put(field.leasesLost, LeaseLostSchema, { partition, lease: BigInt(lease) });
  }

  assigned(partitions: readonly number[]): void {
    this.put(field.assignment, PartitionAssignmentSchema, { active: [...partitions] });
    // A complete list replaces the one before it; two in one frame would be merged by protobuf.
    this.flush();
  }

  blocked(reasons: readonly BlockedReason[]): void {
    this.put(field.notice, NoticeSchema, {
      kind: reasons.length > 0 ? NoticeKind.BLOCKED : NoticeKind.UNBLOCKED,
      blockReasons: reasons.map(blockReasonOf),
    });
    this.flush();
  }

  ended(error: Error): void {
    this.close(toBrokerError(error));
  }

  // --- Stream --------------------------------------------------------------------------------------------

  announceClosing(graceMs: number): void {
    this.put(field.notice, NoticeSchema, { kind: NoticeKind.CLOSING, retryAfterMs: graceMs });
    this.flush();
  }

  close(error: BrokerError): void {
    if (this.state === 'ended') return;
    this.flush();
    this.end();
    this.call.emit('error', serviceError(error));
  }

  private receive(bytes: Buffer): void {
    if (this.state === 'ended') return;
    try {
      const frame = decodeConsumeFrame(bytes);
      if (this.state === 'new') this.open(frame);
      else if (frame.open !== undefined)
        throw protocol('`open` belongs into the first message only');
      else if (this.state === 'opening') this.early.push(frame);
      else this.handle(frame);
    } catch (error) {
      this.close(toBrokerError(error));
    }
  }

  private open(frame: ConsumeFrame): void {
    const { open } = frame;
    if (open === undefined) throw protocol('the first message holds `open`');
    this.state = 'opening';
    this.early.push(frame);
    // Opened in a turn of its own, as it will be when the subscription lives in another shard.
    queueMicrotask(() => {
      if (this.state !== 'opening') return;
      try {
        this.opened(open);
      } catch (error) {
        this.close(toBrokerError(error));
      }
    });
  }

  private opened(open: ConsumerOpen): void {
    this.caller.open(open.topic, (denied) => this.close(denied));
    const kind = kindFromProto(open.kind);
    const subscription = this.broker.openSubscription(open.topic, open.subscription, kind);
    this.name = this.broker.consumerName(open.consumer);
    const { quota } = this.broker.topic(open.topic);
    this.closeStream = quota.openStream(this.call.getPeer());
    this.quota = quota;
    this.subscription = subscription;
    this.state = 'open';
    this.put(field.opened, ConsumerOpenedSchema, {
      consumer: this.name,
      kind: kindToProto(subscription.kind),
      ackDeadlineMs: subscription.ackDeadlineMs,
      partitionCount: subscription.partitionCount,
    });
    this.flush();
    subscription.attach(this);
    const { early } = this;
    this.early = [];
    for (const frame of early) this.handle(frame);
  }

  private handle(frame: ConsumeFrame): void {
    if (frame.acks.some(({ verb }) => verb === AckVerb.RETURN)) {
      this.records = Math.min(this.records, 0);
      this.bytes = Math.min(this.bytes, 0);
    }
    this.records = Math.min(this.records + frame.creditRecords, creditMax);
    this.bytes = Math.min(this.bytes + frame.creditBytes, creditMax);
    const failures =
      this.subscription === undefined ? [] : settleRanges(this.subscription, this, frame.acks);
    if (frame.confirmId !== 0) this.confirmWhenDurable(frame.confirmId, failures);
    else for (const failure of failures) this.put(field.ackFailures, AckFailureSchema, failure);
    if (frame.creditRecords > 0 || frame.creditBytes > 0) this.subscription?.pump();
  }

  private confirmWhenDurable(confirmId: number, failures: AckFailure[]): void {
    const { subscription } = this;
    if (subscription === undefined) return;
    void subscription.durable().then(() => {
      if (this.state !== 'open') return;
      this.put(field.confirmations, AckConfirmationSchema, {
        confirmId: BigInt(confirmId),
        failures,
      });
    });
  }

  private output(roomBytes: number): WireWriter {
    if (this.frame === undefined) {
      this.frame = new WireWriter(Math.max(512, roomBytes));
      // After everything else of this turn, so that what is ready together travels together.
      setImmediate(() => this.flush());
    }
    return this.frame;
  }

  private put<Desc extends DescMessage>(
    number: number,
    schema: Desc,
    message: MessageInitShape<Desc>,
  ): void {
    if (this.state === 'ended') return;
    this.output(0).bytes(number, toBinary(schema, create(schema, message)));
  }

  private tellHeld(hold: Hold): void {
    this.quota?.noteHeldBack(hold);
    this.output(0).bytes(field.notice, throttledNotice(hold));
  }

  private flush(): void {
    const { frame } = this;
    this.frame = undefined;
    if (frame === undefined || this.state === 'ended') return;
    if (!this.call.write(frame.finish())) this.outputFull = true;
  }

  private end(): void {
    if (this.state === 'ended') return;
    this.state = 'ended';
    this.early = [];
    this.heldBack.end();
    this.closeStream();
    this.subscription?.detach(this);
  }
}

/** A frame with several deliveries has at most so many bytes. */
const frameBytesMax = 1024 * 1024;

function protocol(message: string): BrokerError {
  return new BrokerError('STREAM_PROTOCOL', message);
}
