// What answers at the server's address, as plain values.
import { ClusterService } from '../../../proto/gen/millrace/v1/cluster_pb.ts';
import type { Connection } from '../connection.ts';

export interface Cluster {
  readonly clusterId: string;
  /** Of the broker that answered. */
  readonly version: string;
  /** Where cold records are, without credentials. */
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
    /** Sealed records that only the broker's disk has. */
    readonly unoffloadedBytes: number;
    /** Append time of the oldest record that only the broker's disk has; 0: there is none. */
    readonly unoffloadedSinceMs: number;
    /** Why the last offload failed; empty since one went well. */
    readonly offloadFailure: string;
    /** When the newest checkpoint in the object store was begun; 0: none since the start. */
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
