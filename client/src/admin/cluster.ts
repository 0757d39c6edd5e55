// What answers at the server's address, as plain values.
import { ClusterService } from '../../../proto/gen/millrace/v1/cluster_pb.ts';
import type { Connection } from '../connection.ts';

export interface Cluster {
  readonly clusterId: string;
  /** Of the broker that answered. */
  readonly version: string;
  /** Where cold records are: the URL of the object store, without credentials. */
  readonly objectStore: string;
  readonly brokers: readonly {
    readonly brokerId: string;
    /** host:port. */
    readonly address: string;
    readonly startedAtMs: number;
  }[];
  readonly shards: readonly {
    readonly name: string;
    /** Rises at every start. */
    readonly epoch: number;
    readonly brokerId: string;
    readonly partitionCount: number;
    readonly journalBytes: number;
    readonly generationCount: number;
    /** Stored bytes that wait for offload: in sealed files of the journal, and not in the object store. */
    readonly unoffloadedBytes: number;
    /**
     * Append time of the oldest record that only the broker's disk has, sealed or not: what a lost disk would cost
     * begins here. By the broker's clock; 0: there is none.
     */
    readonly unoffloadedSinceMs: number;
    /** Why the last offload failed; empty since one went well. */
    readonly offloadFailure: string;
    /**
     * When the newest checkpoint in the object store was begun: positions of subscriptions that are newer would be
     * lost with the disk. By the broker's clock; 0: none since it started.
     */
    readonly checkpointUploadedMs: number;
  }[];
  readonly limits: {
    readonly requestBytesMax: number;
    readonly batchBytesMax: number;
    readonly partitionsPerTopicMax: number;
    readonly topicsMax: number;
  };
}

export async function getCluster(connection: Connection): Promise<Cluster> {
  const answer = await connection.unary(ClusterService.method.getCluster, {});
  const { clusterId, version, objectStore, brokers, shards, limits } = answer;
  return {
    clusterId,
    version,
    objectStore,
    brokers: brokers.map(({ brokerId, address, startedAtMs }) => ({
      brokerId,
      address,
      startedAtMs: Number(startedAtMs),
    })),
    shards: shards.map((shard) => ({
      name: shard.name,
      epoch: shard.epoch,
      brokerId: shard.brokerId,
      partitionCount: shard.partitionCount,
      journalBytes: Number(shard.journalBytes),
      generationCount: shard.generationCount,
      unoffloadedBytes: Number(shard.unoffloadedBytes),
      unoffloadedSinceMs: Number(shard.unoffloadedSinceMs),
      offloadFailure: shard.offloadFailure,
      checkpointUploadedMs: Number(shard.checkpointUploadedMs),
    })),
    limits: {
      requestBytesMax: limits?.requestBytesMax ?? 0,
      batchBytesMax: limits?.batchBytesMax ?? 0,
      partitionsPerTopicMax: limits?.partitionsPerTopicMax ?? 0,
      topicsMax: limits?.topicsMax ?? 0,
    },
  };
}
