// What answers at the server's address, as plain values.
import { ClusterService } from '../../../proto/gen/millrace/v1/cluster_pb.ts';
import type { Connection } from '../connection.ts';

export interface Cluster {
  readonly clusterId: string;
  /** Of the broker that answered. */
  readonly version: string;
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
  const { clusterId, version, brokers, shards, limits } = answer;
  return {
    clusterId,
    version,
    brokers: brokers.map(({ brokerId, address, startedAtMs }) => ({
      brokerId,
      address,
      startedAtMs: Number(startedAtMs),
    })),
    shards: shards.map(
      ({ name, epoch, brokerId, partitionCount, journalBytes, generationCount }) => ({
        name,
        epoch,
        brokerId,
        partitionCount,
        journalBytes: Number(journalBytes),
        generationCount,
      }),
    ),
    limits: {
      requestBytesMax: limits?.requestBytesMax ?? 0,
      batchBytesMax: limits?.batchBytesMax ?? 0,
      partitionsPerTopicMax: limits?.partitionsPerTopicMax ?? 0,
      topicsMax: limits?.topicsMax ?? 0,
    },
  };
}
