// What happened in a run, as the clients saw it; the checkers read nothing else.

export type Event =
  /** A publisher was told: stored at this offset. */
  | { readonly kind: 'confirmed'; readonly offset: number; readonly value: string }
  /** Somebody was handed the record. */
  | {
      readonly kind: 'delivered';
      readonly offset: number;
      readonly value: string;
      readonly attempt: number;
      readonly epoch: number;
    }
  /** A consumer was told: this ack is durable. */
  | { readonly kind: 'ack-confirmed'; readonly offset: number }
  /** A nack of this delivery is durable. */
  | { readonly kind: 'nack-durable'; readonly offset: number; readonly attempt: number }
  /** The subscription was moved by us: what is at or above counts as not acked again. */
  | { readonly kind: 'sought'; readonly offset: number }
  /** The process lost power. */
  | { readonly kind: 'crashed' };

/** The partition as it is read at the end, after everything was healed and drained. */
export interface FinalState {
  readonly startOffset: number;
  readonly records: readonly { readonly offset: number; readonly value: string }[];
  readonly backlog: number;
}
