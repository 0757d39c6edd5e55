// ClusterService: what this installation is.
import type { UntypedServiceImplementation } from '@grpc/grpc-js';
import type { Broker } from '../cluster/broker.ts';
import { limits } from '../core/limits.ts';
import { ClusterService } from '../../proto/gen/millrace/v1/cluster_pb.ts';
import { unary } from './unary.ts';

export function clusterService(broker: Broker): UntypedServiceImplementation {
  return {
    getCluster: unary(ClusterService.method.getCluster, () => {
      const { clusterId, brokerId, version, address, startedAtMs } = broker;
      return {
        clusterId,
        version,
        objectStore: broker.objectStore,
        brokers: [{ brokerId, address, startedAtMs: BigInt(startedAtMs) }],
        shards: broker.shardFigures().map((shard) => ({
          name: shard.name,
          epoch: shard.epoch,
          brokerId,
          partitionCount: shard.partitionCount,
          journalBytes: BigInt(shard.journalBytes),
          generationCount: shard.generationCount,
          unoffloadedBytes: BigInt(shard.unoffloadedBytes),
          unoffloadedSinceMs: BigInt(shard.unoffloadedSinceMs),
          offloadFailure: shard.offloadFailure,
          checkpointUploadedMs: BigInt(shard.checkpointUploadedMs),
        })),
        limits: {
          requestBytesMax: limits.requestBytesMax,
          batchBytesMax: limits.batchBytesMax,
          partitionsPerTopicMax: limits.partitionsPerTopicMax,
          topicsMax: limits.topicsMax,
        },
      };
    }),
  };
}
