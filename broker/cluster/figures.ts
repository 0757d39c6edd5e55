// What the broker says about topics and shards when it is asked.

export interface PartitionFigures {
  readonly partition: number;
  readonly startOffset: number;
  readonly endOffset: number;
  readonly storedBytes: number;
  readonly lastAppendTimeMs: number;
  /** Empty when nothing is damaged. */
  readonly damage: string;
}

export interface TopicFigures {
  readonly partitions: readonly PartitionFigures[];
  readonly storedBytes: number;
  readonly subscriptionCount: number;
}

export interface ShardFigures {
  readonly name: string;
  readonly epoch: number;
  readonly partitionCount: number;
  readonly journalBytes: number;
  readonly generationCount: number;
}

export interface ConsumerFigures {
  readonly name: string;
  readonly activePartitions: readonly number[];
  readonly inFlight: number;
}
