// What happened to the subscriptions of a run, as clients and the operator saw it; the checkers read nothing else.
import type { PartitionStatus } from '../../../broker/subscription/consumer.ts';
import type { RecordState } from '../../../broker/subscription/record-place.ts';
import type { SubscriptionKind } from '../../../broker/subscription/subscription.ts';

/** One record, with what its batch asked for. A run has one subscription of each kind, so a kind names it. */
export interface Fact {
  readonly offset: number;
  readonly value: string;
  /** Empty: none. */
  readonly key: string;
  /** 0: at once. */
  readonly deliverAtMs: number;
  /** Infinity: never. */
  readonly expiresAtMs: number;
  readonly priority: number;
  /** Empty: everybody. */
  readonly audience: SubscriptionKind | '';
}

/** What the operator asks of a subscription. */
export interface Settings {
  readonly attemptsMax: number;
  readonly hasDeadLetterTopic: boolean;
  readonly deadLetterExpired: boolean;
  /** 0: no limit. */
  readonly recordsPerSecondMax: number;
  readonly paused: boolean;
}

/** What became of one delivery. `lost`: its deadline passed, or its consumer went. */
export type Verb = 'ack' | 'nack' | 'reject' | 'return' | 'lost';

export interface Delivered {
  readonly kind: 'delivered';
  readonly to: SubscriptionKind;
  readonly consumer: number;
  readonly offset: number;
  readonly value: string;
  readonly attempt: number;
  readonly lease: number;
  /** Records of the same hand-over. */
  readonly runLength: number;
  readonly wallMs: number;
  readonly monoMs: number;
}

export interface Said {
  readonly kind: 'said';
  readonly to: SubscriptionKind;
  readonly verb: Verb;
  readonly offset: number;
  readonly attempt: number;
  readonly lease: number;
  /** Of a nack: not delivered before, monotonic. 0: not stated. */
  readonly notBeforeMs: number;
  /** False: the broker took it. True, later: what it took is durable, unless a seek came in between. */
  readonly isDurable: boolean;
}

export type Event =
  | { readonly kind: 'appended'; readonly fact: Fact }
  /** A process has recovered: records below `endOffset` survived, others did not. */
  | { readonly kind: 'opened'; readonly endOffset: number; readonly wallMs: number }
  /** The record is durable and visible. */
  | { readonly kind: 'stored'; readonly offset: number }
  | Delivered
  | Said
  /** A stream's consumer has become the active one. */
  | { readonly kind: 'activated'; readonly to: SubscriptionKind; readonly consumer: number }
  /** Retention has removed what is below. */
  | { readonly kind: 'trimmed'; readonly startOffset: number }
  /** Everything up to the offset is done, says the active consumer of the stream. */
  | { readonly kind: 'cumulative'; readonly offset: number; readonly isDurable: boolean }
  | {
      readonly kind: 'sought';
      readonly to: SubscriptionKind;
      readonly offset: number;
      readonly isDurable: boolean;
    }
  | { readonly kind: 'cancelled'; readonly offset: number; readonly isDurable: boolean }
  /** In force from here on. */
  | { readonly kind: 'settings'; readonly to: SubscriptionKind; readonly settings: Settings }
  /** A letter is durable in the dead-letter topic, as its sender was told; then that is durable too. */
  | {
      readonly kind: 'letter';
      readonly to: SubscriptionKind;
      readonly offset: number;
      readonly number: number;
      readonly isDurable: boolean;
    }
  /** Time went on; `isStep`: the wall clock alone. */
  | { readonly kind: 'time'; readonly wallMs: number; readonly isStep: boolean }
  | {
      readonly kind: 'status';
      readonly to: SubscriptionKind;
      readonly status: PartitionStatus;
      /** Records one by one. */
      readonly recount: Readonly<Record<RecordState, number>>;
      /** Nothing was under way. */
      readonly isQuiet: boolean;
    }
  /** The process lost power. */
  | { readonly kind: 'crashed' };

/** A record of the dead-letter topic. */
export interface Letter {
  readonly to: SubscriptionKind;
  readonly offset: number;
  readonly attempts: number;
  readonly reason: string;
  readonly value: string;
}

/** How it stands after everything was healed and drained. */
export interface FinalState {
  readonly startOffset: number;
  readonly records: readonly { readonly offset: number; readonly value: string }[];
  readonly letters: readonly Letter[];
  /** Not acked, by subscription. */
  readonly backlogs: ReadonlyMap<SubscriptionKind, number>;
}
