// A stream that a quota holds back: told once, and let go on when it is its turn and there is room.
import { create, toBinary } from '@bufbuild/protobuf';
import type { HoldQueue, Waiter } from '../access/hold-queue.ts';
import type { Hold, StreamHold } from '../access/quota-state.ts';
import type { Clock } from '../core/clock.ts';
import { NoticeKind, NoticeSchema } from '../../proto/gen/millrace/v1/stream_pb.ts';

export interface HeldStream {
  /** Why it must wait now; asked again and again. */
  readonly hold: (nowMs: number) => StreamHold | undefined;
  /** It begins to wait. */
  readonly onHeld: (hold: Hold) => void;
  /** There is room. */
  readonly onRoom: () => void;
}

export class HeldBack implements Waiter {
  private readonly clock: Clock;
  private readonly stream: HeldStream;
  /** Where it waits. */
  private queue: HoldQueue | undefined;
  private isEnded = false;

  constructor(clock: Clock, stream: HeldStream) {
    this.clock = clock;
    this.stream = stream;
  }

  get isHeld(): boolean {
    return this.queue !== undefined;
  }

  /** Whether the stream must wait now; if so it is called when there is room. */
  look(): boolean {
    if (this.isEnded || this.isHeld) return this.isHeld;
    const hold = this.stream.hold(this.clock.monotonicMs());
    if (hold === undefined) return false;
    this.wait(hold);
    this.stream.onHeld(hold);
    return true;
  }

  onTurn(): void {
    this.queue = undefined;
    const hold = this.stream.hold(this.clock.monotonicMs());
    if (hold === undefined) this.stream.onRoom();
    else this.wait(hold);
  }

  end(): void {
    this.isEnded = true;
    this.queue?.remove(this);
    this.queue = undefined;
  }

  private wait(hold: StreamHold): void {
    this.queue = hold.queue;
    hold.queue.add(this, hold);
  }
}

/** What a client is told when its stream is held back. */
export function throttledNotice({ quota, scope, waitMs }: Hold): Uint8Array {
  const notice = create(NoticeSchema, {
    kind: NoticeKind.THROTTLED,
    retryAfterMs: Math.min(Math.ceil(waitMs), 2 ** 32 - 1),
    quota,
    scope,
  });
  return toBinary(NoticeSchema, notice);
}
