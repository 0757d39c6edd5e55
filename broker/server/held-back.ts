// A stream that a quota holds back: told once, and let go on when there is room.
//
// Invariant: while it is held there is one timer, and it looks again before long: a quota that is raised helps at once.
import { create, toBinary } from '@bufbuild/protobuf';
import type { Hold } from '../access/quota-state.ts';
import type { Clock } from '../core/clock.ts';
import { limits } from '../core/limits.ts';
import { NoticeKind, NoticeSchema } from '../../proto/gen/millrace/v1/stream_pb.ts';

type Timer = ReturnType<Clock['after']>;

export interface HeldStream {
  /** Why it must wait now; asked again and again. */
  readonly hold: (nowMs: number) => Hold | undefined;
  /** It begins to wait. */
  readonly onHeld: (hold: Hold) => void;
  /** There is room. */
  readonly onRoom: () => void;
}

export class HeldBack {
  private readonly clock: Clock;
  private readonly stream: HeldStream;
  private timer: Timer | undefined;
  private isEnded = false;

  constructor(clock: Clock, stream: HeldStream) {
    this.clock = clock;
    this.stream = stream;
  }

  get isHeld(): boolean {
    return this.timer !== undefined;
  }

  /** Whether the stream must wait now; if so it is called when there is room. */
  look(): boolean {
    if (this.isEnded || this.timer !== undefined) return this.timer !== undefined;
    const hold = this.stream.hold(this.clock.monotonicMs());
    if (hold === undefined) return false;
    this.wait(hold);
    this.stream.onHeld(hold);
    return true;
  }

  end(): void {
    this.isEnded = true;
    this.timer?.cancel();
    this.timer = undefined;
  }

  private wait({ waitMs }: Hold): void {
    this.timer = this.clock.after(Math.min(waitMs, limits.quotaLookMsMax), () => {
      this.timer = undefined;
      const hold = this.stream.hold(this.clock.monotonicMs());
      if (hold === undefined) this.stream.onRoom();
      else this.wait(hold);
    });
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
