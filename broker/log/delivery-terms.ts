// How queues treat a batch. Readers and streams do not look at it.

export interface DeliveryTerms {
  /** Held back until then, wall clock, ms; 0: at once. */
  readonly deliverAtMs: number;
  /** Not delivered any more when it has been due for so long; 0: as the topic says. */
  readonly timeToLiveMs: number;
  /** 0 to 9; higher ones first. */
  readonly priority: number;
  /** The one subscription that it is for; 0: all. */
  readonly audience: number;
}

export const plainTerms: DeliveryTerms = {
  deliverAtMs: 0,
  timeToLiveMs: 0,
  priority: 0,
  audience: 0,
};
