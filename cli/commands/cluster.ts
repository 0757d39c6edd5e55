// millrace cluster: what answers at this address.
import { Command } from 'commander';
import { isoTime, printJson, printLine, table } from '../output.ts';
import { withClient, withClientOptions, type ClientOptions } from '../options.ts';

const shardHead = [
  'SHARD',
  'EPOCH',
  'PARTITIONS',
  'BYTES',
  'GENERATIONS',
  'NOT OFFLOADED',
  'ONLY ON DISK SINCE',
  'CHECKPOINT',
];

export function clusterCommand(): Command {
  return withClientOptions(new Command('cluster'))
    .description('show brokers, shards and limits')
    .action(async (options: ClientOptions) => {
      await withClient(options, async (client) => {
        const cluster = await client.cluster();
        if (options.output === 'json') return printJson(cluster);
        await printLine(`cluster  ${cluster.clusterId}`);
        await printLine(`version  ${cluster.version}`);
        await printLine(`store    ${cluster.objectStore}`);
        await printLine('');
        const brokers = cluster.brokers.map((broker) => [
          broker.brokerId,
          broker.address,
          isoTime(broker.startedAtMs),
        ]);
        await printLine(table(['BROKER', 'ADDRESS', 'STARTED'], brokers));
        await printLine('');
        const shards = cluster.shards.map((shard) => [
          shard.name,
          shard.epoch,
          shard.partitionCount,
          shard.journalBytes,
          shard.generationCount,
          shard.unoffloadedBytes,
          isoTime(shard.unoffloadedSinceMs),
          isoTime(shard.checkpointUploadedMs),
        ]);
        await printLine(table(shardHead, shards));
        for (const { name, offloadFailure } of cluster.shards) {
          if (offloadFailure !== '') await printLine(`offload of shard ${name}: ${offloadFailure}`);
        }
      });
    });
}
