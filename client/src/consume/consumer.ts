// Consumes a subscription: hands out deliveries, gathers what is said of them, extends deadlines, gives credit.
//
//   going ──stop()──▶ draining ──close(), acks durable──▶ closed;   any ──refused for good──▶ closed
//
// Invariants:
// - What waits for the application is bounded by the credit that was given: records and bytes.
// - An ack that was not sent, or was asked to be confirmed and is not, is sent again after a reconnect.
// - Records that were never handed out are given back when the consumer stops: their attempt does not count.
import {
  AckVerb,
  type AckFailure,
  type ConsumerOpened,
} from '../../../proto/gen/millrace/v1/consume_pb.ts';
import { SubscriptionKind } from '../../../proto/gen/millrace/v1/subscription_pb.ts';
import { AsyncPull } from '../async-pull.ts';
import { clientError, errorOfItem, toMillraceError, MillraceError } from '../errors.ts';
import { gapFromProto } from '../positions.ts';
import type { Decoder } from '../records/codec.ts';
import type { AckRangeFields, DeliveryFields } from '../wire/deliveries.ts';
import type { SubscriptionPlace } from './acknowledge.ts';
import { AckConfirmations, type AckToConfirm, type FailedAck } from './ack-confirmations.ts';
import { AckGathererState } from './ack-gatherer-state.ts';
import { ConsumeStream } from './consume-stream.ts';
import { DeliveryTableState, type CreditReturn } from './delivery-table-state.ts';
import type { HeldDelivery } from './held-delivery.ts';
import { leaseLost, PartitionScopes } from './loss-scope.ts';
import { HeldMessage, type AnyMessage, type Message, type Settler } from './message.ts';
import { consumerSettings, type ConsumerOptions, type ConsumerSettings } from './options.ts';
import { StreamPositionState } from './stream-position-state.ts';

/** So many ranges are sent without waiting for more. */
const rangesAtOnce = 512;
/** 1.2 MB with the longest reasons: a broker takes frames of 4 MiB. */
const rangesPerFrameMax = 4_096;
/** Share of the time that a closing broker gives, after which what is in hand is left unacked. */
const graceShare = 0.8;

export class Consumer<T = Buffer> implements AsyncIterable<Message<T>>, AsyncDisposable, Settler {
  readonly topic: string;
  readonly subscription: string;
  private readonly settings: ConsumerSettings;
  private readonly streamCredit: CreditReturn;
  private readonly decoder: Decoder<T>;
  private readonly onClosed: (consumer: Consumer<T>) => void;
  private readonly stream: ConsumeStream;
  private readonly messages: AsyncPull<HeldMessage<T>>;
  private readonly table: DeliveryTableState;
  private readonly positions = new StreamPositionState();
  private readonly scopes = new PartitionScopes();
  private readonly gathered = new AckGathererState();
  private readonly confirmations = new AckConfirmations();
  private state: 'going' | 'draining' | 'closed' = 'going';
  private isStream = false;
  private ackDeadlineMs = 0;
  private sendDue: 'no' | 'gathering' | 'now' = 'no';
  private gatherTimer: NodeJS.Timeout | undefined;
  private extendTimer: NodeJS.Timeout | undefined;
  private leaveTimer: NodeJS.Timeout | undefined;
  private closing: Promise<void> | undefined;

  /** `streamCredit`: when the credit of a stream's records comes back. Throws ARGUMENT_INVALID. */
  constructor(
    { connection, topic, subscription }: SubscriptionPlace,
    options: ConsumerOptions,
    streamCredit: CreditReturn,
    decoder: Decoder<T>,
    onClosed: (consumer: Consumer<T>) => void,
  ) {
    this.topic = topic;
    this.subscription = subscription;
    this.settings = consumerSettings(options);
    this.streamCredit = streamCredit;
    this.decoder = decoder;
    this.onClosed = onClosed;
    this.table = new DeliveryTableState(this.settings.prefetch);
    this.messages = new AsyncPull(
      () => this.handOut(),
      () => this.close(),
    );
    const { kind, consumer } = this.settings;
    this.stream = new ConsumeStream(
      connection,
      { topic, subscription, consumer, kind },
      {
        opened: (opened) => this.opened(opened),
        delivered: (fields) => this.delivered(fields),
        gap: (gap) => {
          this.positions.gap(gap.partition, Number(gap.lastOffset));
          this.settings.onGap(gapFromProto(gap));
        },
        confirmed: ({ confirmId, failures }) => {
          this.confirmations.confirmed(Number(confirmId), failures.map(failureOf));
          this.leaveWhenSettled();
        },
        assigned: (active) => {
          this.positions.assigned(active);
          const why = leaseLost('the partition went to another consumer');
          this.scopes.lose((partition) => !active.includes(partition), why);
          this.lose(({ fields }) => !active.includes(fields.partition), why);
        },
        leaseLost: (partition, lease) =>
          this.lose(
            ({ fields }) => fields.partition === partition && fields.lease === lease,
            leaseLost(`lease ${lease} of partition ${partition} is over`),
          ),
        ackFailed: () => {
          // The record was, or will be, delivered again: at least once, as promised.
        },
        closing: (graceMs) => this.brokerCloses(graceMs),
        lost: () => this.lost(),
        failed: (error) => this.failed(error),
      },
    );
    this.stream.open();
  }

  [Symbol.asyncIterator](): AsyncIterator<Message<T>> {
    return this.messages;
  }

  /** For handlers: the same messages, with what holds them. */
  handedOut(): AsyncIterable<HeldMessage<T>> {
    return { [Symbol.asyncIterator]: () => this.messages };
  }

  /** Hands out nothing more and gives back what was not handed out; iterators end. Acks still count. */
  stop(): void {
    if (this.state !== 'going') return;
    this.state = 'draining';
    this.giveBackUnhanded();
    this.messages.end();
  }

  /**
   * Acks several messages in one go; resolves when all of it is durable, over lost connections too. Rejects with the
   * first failure, as `ackConfirmed` does: the others may have been acked. Streams: the last one of a partition counts.
   */
  async ackAll(messages: Iterable<Message<unknown>>): Promise<void> {
    await Promise.all(Array.from(messages, (message) => message.ackConfirmed()));
  }

  /**
   * Resolves when everything that was said of messages so far is durable; what the broker refused of it comes again.
   * Rejects with CLIENT_CLOSED when the consumer is closed before.
   */
  flush(): Promise<void> {
    if (this.state === 'closed') return Promise.reject(closed());
    const durable = this.confirmations.wait(undefined);
    this.scheduleSend();
    return durable;
  }

  /**
   * Stops, waits until the acks so far are durable (up to `closeTimeoutMs`), then leaves. What is in the application's
   * hands unacked comes again, here or elsewhere.
   */
  close(): Promise<void> {
    this.closing ??= this.leave();
    return this.closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  // --- Settler -------------------------------------------------------------------------------------------

  ack(message: AnyMessage): void {
    const { partition, offset, lease, held } = message;
    if (!this.isStream) this.gathered.add(partition, offset, AckVerb.ACK, lease, 0);
    else if (!held.isVoid) this.gathered.addCumulative(partition, offset, AckVerb.CUMULATIVE);
    this.settled(held);
  }

  ackConfirmed(message: AnyMessage, isFirst: boolean): Promise<void> {
    if (this.state === 'closed') return Promise.reject(closed());
    if (message.held.isVoid) return Promise.reject(voidAck(message));
    const confirmed = this.confirmations.wait(this.ackOf(message));
    if (isFirst) this.table.settled(message.held);
    this.scheduleSend();
    return confirmed;
  }

  nack(message: AnyMessage, delayMs: number, reason: string): void {
    this.fail(message, AckVerb.NACK, delayMs, reason);
  }

  reject(message: AnyMessage, reason: string): void {
    this.fail(message, AckVerb.REJECT, 0, reason);
  }

  /** To be said of what nobody has begun with, by a consumer that was stopped: it takes back all credit. */
  giveBack({ partition, offset, lease, held }: AnyMessage): void {
    if (!this.isStream && !held.isLost) {
      this.gathered.add(partition, offset, AckVerb.RETURN, lease, 0);
    }
    this.settled(held);
  }

  extend({ partition, offset, lease, held }: AnyMessage, durationMs: number): void {
    if (this.isStream || held.isLost) return;
    held.extendedUntilMs = performance.now() + (durationMs === 0 ? this.ackDeadlineMs : durationMs);
    this.gathered.add(partition, offset, AckVerb.EXTEND, lease, durationMs);
    this.scheduleSend();
  }

  private ackOf({ partition, offset, lease }: AnyMessage): AckToConfirm {
    return this.isStream
      ? { partition, offset, verb: AckVerb.CUMULATIVE, lease: 0, isCumulative: true }
      : { partition, offset, verb: AckVerb.ACK, lease, isCumulative: false };
  }

  private fail(
    { partition, offset, lease, held }: AnyMessage,
    verb: AckVerb,
    delayMs: number,
    reason: string,
  ): void {
    if (this.isStream) {
      const what = verb === AckVerb.NACK ? 'nack' : 'reject';
      throw clientError(
        'ARGUMENT_INVALID',
        `a stream has no ${what}; leave the record unacked instead`,
      );
    }
    if (!held.isLost) this.gathered.add(partition, offset, verb, lease, delayMs, reason);
    this.settled(held);
  }

  private settled(delivery: HeldDelivery): void {
    this.table.settled(delivery);
    this.scheduleSend();
  }

  // --- What comes ----------------------------------------------------------------------------------------

  private opened({ kind, ackDeadlineMs }: ConsumerOpened): void {
    this.isStream = kind === SubscriptionKind.STREAM;
    this.ackDeadlineMs = ackDeadlineMs;
    this.table.opened(this.isStream ? this.streamCredit : 'settled');
    this.positions.opened();
    // Credit first: a stream takes only acks of what it has sent, and sends when it has credit.
    this.sendFrame([], 0);
    this.confirmations.sendAgain();
    this.startExtending();
    this.send();
  }

  private delivered(fields: DeliveryFields): void {
    const delivery = this.table.add(fields);
    const { partition } = fields;
    const { firstOffset, lastOffset } = delivery;
    if (this.isStream && this.positions.delivered(partition, firstOffset, lastOffset)) {
      this.positionMoved(partition, delivery);
    }
    if (this.isStream) delivery.lossScope = this.scopes.of(partition);
    // Came while the consumer was stopping.
    if (this.state !== 'going' || !this.stream.takesCredit) this.giveBackUnhanded();
    else this.messages.wake();
  }

  /** What came before `next` is void. */
  private positionMoved(partition: number, next: HeldDelivery): void {
    const before = (other: HeldDelivery): boolean =>
      other !== next && other.fields.partition === partition;
    for (const moved of this.table.lose(before)) moved.isVoid = true;
    this.scopes.lose((other) => other === partition, leaseLost('the stream was moved'));
  }

  private handOut(): HeldMessage<T> | undefined {
    try {
      const handedOut = this.table.handOut();
      if (handedOut === undefined) {
        if (this.table.isStarved) this.scheduleSend();
        return undefined;
      }
      if (this.isStream && this.streamCredit === 'handed out') this.scheduleSend();
      return new HeldMessage(this.topic, handedOut, this.decoder, this);
    } catch (error) {
      this.stream.fail(toMillraceError(error));
      return undefined;
    }
  }

  private lose(isLost: (delivery: HeldDelivery) => boolean, error: MillraceError): void {
    const lost = this.table.lose(isLost);
    if (lost.length > 0) this.scheduleSend();
    for (const { lossScope } of lost) lossScope.lose(error);
  }

  private loseAll(error: MillraceError): void {
    const lost = this.table.loseAll();
    this.scopes.lose(() => true, error);
    for (const { lossScope } of lost) lossScope.lose(error);
  }

  private lost(): void {
    clearInterval(this.extendTimer);
    clearTimeout(this.leaveTimer);
    this.gathered.dropLeases();
    this.loseAll(leaseLost('the connection was lost'));
  }

  private failed(error: MillraceError): void {
    this.state = 'closed';
    clearInterval(this.extendTimer);
    clearTimeout(this.gatherTimer);
    this.loseAll(error);
    this.confirmations.fail(error);
    this.messages.end(error);
    this.onClosed(this);
  }

  // --- What goes -----------------------------------------------------------------------------------------

  private scheduleSend(): void {
    if (this.sendDue === 'now' || !this.stream.isOpen) return;
    const isUrgent =
      this.confirmations.hasUnsent ||
      this.gathered.rangeCount >= rangesAtOnce ||
      this.settings.ackGatherMs === 0;
    if (isUrgent) {
      clearTimeout(this.gatherTimer);
      this.sendDue = 'now';
      // What the application says in the same turn travels together.
      setImmediate(() => this.send());
    } else if (this.sendDue === 'no') {
      this.sendDue = 'gathering';
      this.gatherTimer = setTimeout(() => this.send(), this.settings.ackGatherMs);
    }
  }

  /** Sends what was gathered. */
  private send(): void {
    clearTimeout(this.gatherTimer);
    this.sendDue = 'no';
    if (!this.stream.isOpen) return;
    // An application that never waits may have said more than one frame takes. What asks for a confirmation goes last:
    // it is told of everything before.
    while (this.gathered.rangeCount > rangesPerFrameMax) {
      this.sendFrame(this.gathered.take(rangesPerFrameMax), 0);
    }
    do {
      const { confirmId, acks } = this.confirmations.take(rangesPerFrameMax);
      this.sendFrame([...this.gathered.take(), ...acks], confirmId);
    } while (this.confirmations.hasUnsent);
    this.leaveWhenSettled();
  }

  /** With the credit that has come free. */
  private sendFrame(acks: readonly AckRangeFields[], confirmId: number): void {
    const { records: creditRecords, bytes: creditBytes } = this.credit();
    if (acks.length === 0 && confirmId === 0 && creditRecords === 0 && creditBytes === 0) return;
    this.stream.send({ creditRecords, creditBytes, acks, confirmId });
  }

  private credit(): { readonly records: number; readonly bytes: number } {
    const isWanted = this.state === 'going' && this.stream.takesCredit;
    return isWanted ? this.table.takeCredit() : { records: 0, bytes: 0 };
  }

  private startExtending(): void {
    clearInterval(this.extendTimer);
    if (this.isStream || !this.settings.autoExtend) return;
    this.extendTimer = setInterval(() => this.extendAll(), this.ackDeadlineMs / 3);
    this.extendTimer.unref();
  }

  /** All that is held gets the ack deadline anew, but for what the application asked more time for. */
  private extendAll(): void {
    const untilMs = performance.now() + this.ackDeadlineMs;
    for (const { fields, lastOffset, extendedUntilMs } of this.table.deliveries()) {
      if (extendedUntilMs > untilMs) continue;
      this.gathered.add(fields.partition, lastOffset, AckVerb.EXTEND, fields.lease, 0);
    }
    if (!this.gathered.isEmpty) this.send();
  }

  // --- Leaving -------------------------------------------------------------------------------------------

  /** Records that were not handed out go back to the broker, which then sends nothing more. */
  private giveBackUnhanded(): void {
    const givenBack = this.table.giveBack();
    if (this.isStream) return;
    for (const { fields, firstUnhanded, lastOffset } of givenBack) {
      const { partition, lease } = fields;
      this.gathered.addRange(partition, firstUnhanded, lastOffset, AckVerb.RETURN, lease, 0);
    }
    if (givenBack.length > 0) this.send();
  }

  private async leave(): Promise<void> {
    if (this.state === 'closed') return;
    this.stop();
    if (this.stream.isOpen || !this.gathered.isEmpty || this.confirmations.isOwed) {
      const last = this.confirmations.flush();
      this.send();
      await withinMs(last, this.settings.closeTimeoutMs);
    }
    if (this.isClosed()) return;
    this.state = 'closed';
    clearInterval(this.extendTimer);
    clearTimeout(this.gatherTimer);
    clearTimeout(this.leaveTimer);
    // Work on what is in hand ends before others get it.
    this.loseAll(closed());
    this.stream.close();
    this.confirmations.fail(closed());
    this.onClosed(this);
  }

  /** A refusal may have closed it while `leave` waited. */
  private isClosed(): boolean {
    return this.state === 'closed';
  }

  /** The broker shuts down: leaves it when what is in hand is settled, or nearly all of the time is over. */
  private brokerCloses(graceMs: number): void {
    this.giveBackUnhanded();
    this.leaveTimer = setTimeout(() => this.stream.leave(), graceMs * graceShare);
    this.leaveTimer.unref();
    this.send();
  }

  private leaveWhenSettled(): void {
    if (this.stream.takesCredit || this.table.hasInHand || this.confirmations.isOwed) return;
    this.stream.leave();
  }
}

function failureOf(failure: AckFailure): FailedAck {
  return {
    partition: failure.partition,
    firstOffset: Number(failure.firstOffset),
    lastOffset: Number(failure.lastOffset),
    error: failure.error === undefined ? undefined : errorOfItem(failure.error),
  };
}

function closed(): MillraceError {
  return clientError(
    'CLIENT_CLOSED',
    'the consumer was closed before the record was settled for good',
    {
      effect: 'unknown',
    },
  );
}

function voidAck({ partition, offset }: AnyMessage): MillraceError {
  return new MillraceError(
    'conflict',
    'LEASE_LOST',
    `the stream was moved after record ${offset} of partition ${partition} was delivered`,
  );
}

/** Resolves with the promise, or when the time is over. */
async function withinMs(promise: Promise<void>, timeMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, timeMs).unref()));
  await Promise.race([promise, late]);
  clearTimeout(timer);
}
