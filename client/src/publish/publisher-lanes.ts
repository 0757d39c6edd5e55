// A publisher on the stream: its handle, its epoch, and its lanes, one for each partition of the topic.
//
//   opening ──opened──▶ open ──stream lost──▶ opening
//      │                 └── a lane needs a new epoch ──▶ renewing ──all answered──▶ opening
//      ├── refused for now ──back-off──▶ opening
//      ├── refused for good: what is held fails ──▶ resting ──next record──▶ opening
//      └── fenced ──▶ ended                     end(): from every state ──▶ ended
//
// Invariants:
// - Nothing is sent but under the handle that was opened last, after the broker said what it has.
// - A client that comes back asks for its own epoch: whether another one took the name is the broker's to say. Only a
//   lane that is stale asks for a new one.
import type { PublisherOpened } from '../../../proto/gen/millrace/v1/publish_pb.ts';
import { Backoff } from '../backoff.ts';
import { clientError, errorOfItem, isTransient, type MillraceError } from '../errors.ts';
import type { CompressionName } from '../records/compress.ts';
import type { AppendAnswer } from '../wire/publish-answers.ts';
import type { BufferPool } from './buffer-pool.ts';
import { Lane, type ExpiryError, type LaneOwner } from './lane.ts';
import type { Ledger } from './ledger.ts';
import type { PublisherSettings } from './options.ts';
import type { OutgoingBatch } from './outgoing-batch.ts';
import type { PublishStream, StreamPublisher } from './publish-stream.ts';

/** What the publisher itself does when its lanes change. */
export interface LanesEvents {
  /** Lanes are there now, or more of them. */
  readonly onOpened: () => void;
  /** What is held fails; with `isFinal` nothing will be accepted again. */
  readonly onFailed: (error: MillraceError, isFinal: boolean) => void;
}

type State = 'opening' | 'open' | 'renewing' | 'resting' | 'ended';

/** Epoch that asks the broker for a new one. */
const newEpoch = 0;

export class PublisherLanes implements StreamPublisher, LaneOwner {
  readonly topic: string;
  readonly name: string;
  readonly batchBytes: number;
  readonly lingerMs: number;
  readonly compression: CompressionName;
  readonly pool: BufferPool;
  batchBytesMax = 0;
  readonly lanes: Lane[] = [];
  private readonly stream: PublishStream;
  private readonly ledger: Ledger;
  private readonly events: LanesEvents;
  private readonly backoff = new Backoff(Math.random);
  /** Lanes with something to seal or to send. */
  private readonly woken = new Set<Lane>();
  private state: State = 'resting';
  private isAdded = false;
  private handle: number | undefined;
  private epoch = newEpoch;
  private askedEpoch = newEpoch;
  private retryTimer: NodeJS.Timeout | undefined;

  constructor(
    stream: PublishStream,
    ledger: Ledger,
    topic: string,
    name: string,
    settings: PublisherSettings,
    events: LanesEvents,
  ) {
    this.stream = stream;
    this.pool = stream.buffers;
    this.ledger = ledger;
    this.topic = topic;
    this.name = name;
    this.batchBytes = settings.batchBytes;
    this.lingerMs = settings.lingerMs;
    this.compression = settings.compression;
    this.events = events;
  }

  /** Opens the publisher unless it is open or on the way to it. */
  start(): void {
    if (this.state !== 'resting') return;
    this.state = 'opening';
    if (this.isAdded) this.streamUp();
    else {
      this.isAdded = true;
      this.stream.add(this);
    }
  }

  seal(): void {
    for (const lane of this.lanes) lane.seal();
  }

  expire(beforeMs: number, errorOf: ExpiryError): void {
    for (const lane of this.lanes) lane.expire(beforeMs, errorOf);
  }

  /** Fails what is left and lets go of the handle. */
  end(error: MillraceError): void {
    if (this.state === 'ended') return;
    this.state = 'ended';
    clearTimeout(this.retryTimer);
    this.closeHandle();
    for (const lane of this.lanes) lane.fail(error);
    this.woken.clear();
    if (this.isAdded) this.stream.remove(this);
  }

  // --- StreamPublisher -----------------------------------------------------------------------------------

  streamUp(): void {
    if (this.state === 'opening' && this.stream.isUp) this.openHandle(this.epoch);
  }

  streamLost(error: MillraceError | undefined): void {
    this.handle = undefined;
    clearTimeout(this.retryTimer);
    for (const lane of this.lanes) lane.disconnected();
    if (this.state === 'open' || this.state === 'renewing') this.state = 'opening';
    if (error !== undefined && this.state === 'opening') this.rest(error);
  }

  handleOpened(opened: PublisherOpened): void {
    if (opened.error !== undefined) {
      this.openFailed(errorOfItem(opened.error));
      return;
    }
    this.state = 'open';
    this.backoff.reset();
    const isNewEpoch = this.askedEpoch === newEpoch;
    this.epoch = opened.publisherEpoch;
    this.batchBytesMax = opened.batchBytesMax;
    this.fitLanes(opened.partitionCount);
    const known = new Map(
      opened.partitions.map(({ partition, lastSequence }) => [partition, Number(lastSequence)]),
    );
    for (const lane of this.lanes) lane.opened(known.get(lane.partition) ?? 0, isNewEpoch);
    this.events.onOpened();
    this.stream.atTurnEnd(this);
  }

  answered(answer: AppendAnswer): void {
    const { error } = answer;
    if (error?.reason === 'PUBLISHER_FENCED') {
      this.events.onFailed(error, true);
      return;
    }
    if (error?.reason === 'TOPIC_NOT_FOUND' || error?.reason === 'HANDLE_UNKNOWN') {
      // The handle leads nowhere any more. A topic of that name that comes later is another one.
      this.rest(error);
      return;
    }
    this.lanes[answer.partition]?.answered(answer);
  }

  turnEnded(): void {
    if (this.state === 'renewing') this.renewWhenAnswered();
    if (this.state === 'open' && this.lanes.some(({ needsNewEpoch }) => needsNewEpoch)) {
      this.state = 'renewing';
      this.renewWhenAnswered();
    }
    for (const lane of this.woken) {
      if (!lane.turnEnded()) return;
      this.woken.delete(lane);
    }
  }

  // --- LaneOwner -----------------------------------------------------------------------------------------

  wake(lane: Lane): void {
    this.woken.add(lane);
    this.stream.atTurnEnd(this);
  }

  admits(bytes: number): boolean {
    return this.state === 'open' && this.stream.admits(bytes, this);
  }

  append(frameOf: (handle: number) => Buffer, bytes: number): void {
    const { handle } = this;
    if (handle !== undefined) this.stream.append(handle, frameOf(handle), bytes);
  }

  landed({ body }: OutgoingBatch): void {
    if (this.handle !== undefined && body !== undefined) {
      this.stream.landed(this.handle, body.end - body.start);
    }
  }

  gathered(bytes: number): void {
    this.ledger.hold(bytes);
  }

  sealed(batch: OutgoingBatch): void {
    this.ledger.sealed(batch);
  }

  stored(batch: OutgoingBatch, baseOffset: number): void {
    this.ledger.stored(batch, baseOffset);
  }

  failed(batch: OutgoingBatch, error: MillraceError): void {
    this.ledger.failed(batch, error);
  }

  timedOut(batch: OutgoingBatch, error: MillraceError): void {
    this.ledger.timedOut(batch, error);
  }

  // --- Inside --------------------------------------------------------------------------------------------

  private fitLanes(partitionCount: number): void {
    while (this.lanes.length < partitionCount) this.lanes.push(new Lane(this, this.lanes.length));
    // Only another topic of the same name has fewer.
    for (const lane of this.lanes.splice(partitionCount)) {
      lane.fail(partitionOutOfRange(this.topic, lane.partition, partitionCount));
      this.woken.delete(lane);
    }
  }

  private openHandle(epoch: number): void {
    this.askedEpoch = epoch;
    this.handle = this.stream.open(this, epoch);
  }

  private closeHandle(): void {
    if (this.handle !== undefined) this.stream.close(this.handle);
    this.handle = undefined;
    for (const lane of this.lanes) lane.disconnected();
  }

  private openFailed(error: MillraceError): void {
    this.handle = undefined;
    if (error.reason === 'PUBLISHER_FENCED') this.events.onFailed(error, true);
    else if (isTransient(error)) {
      this.retryTimer = setTimeout(() => this.streamUp(), this.backoff.nextMs(error.retryAfterMs));
    } else this.rest(error);
  }

  /** What is held fails; the next record opens the publisher anew, in an epoch that fences what was sent so far. */
  private rest(error: MillraceError): void {
    this.closeHandle();
    this.state = 'resting';
    this.epoch = newEpoch;
    for (const lane of this.lanes.splice(0)) lane.fail(error);
    this.woken.clear();
    this.events.onFailed(error, false);
  }

  /** A lane wants to use numbers again that an earlier stream may still deliver: the old epoch is fenced first. */
  private renewWhenAnswered(): void {
    if (this.lanes.some(({ owed }) => owed > 0)) return;
    this.closeHandle();
    this.state = 'opening';
    this.openHandle(newEpoch);
  }
}

export function partitionOutOfRange(
  topic: string,
  partition: number,
  partitionCount: number,
): MillraceError {
  return clientError(
    'PARTITION_OUT_OF_RANGE',
    `${topic} has no partition ${partition}, only 0 to ${partitionCount - 1}`,
    { metadata: { partition_count: String(partitionCount) } },
  );
}

/** Nothing can be handed to a publisher any more. */
export function publisherClosed(topic: string): MillraceError {
  return clientError('CLIENT_CLOSED', `the publisher of ${topic} is closed; open another one`, {
    effect: 'none',
  });
}
