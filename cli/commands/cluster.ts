// millrace cluster: what answers at this address.
import { Command } from 'commander';
import { ageText, isoTime, printJson, printLine, sizeText, table } from '../output.ts';
import { withClient, withClientOptions, type ClientOptions } from '../options.ts';

const shardHead = [
  'SHARD',
  'EPOCH',
  'PARTITIONS',
  'JOURNAL',
  'GENERATIONS',
  'TO OFFLOAD',
  'ONLY ON DISK FOR',
  'CHECKPOINT AGE',
];

export function clusterCommand(): Command {
  return withClientOptions(new Command('cluster'))
    .description('show brokers and shards, the object store, and how far offload is behind')
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
        const nowMs = Date.now();
        const shards = cluster.shards.map((shard) => [
          shard.name,
          shard.epoch,
          shard.partitionCount,
          sizeText(shard.journalBytes),
          shard.generationCount,
          sizeText(shard.unoffloadedBytes),
          ageText(shard.unoffloadedSinceMs, nowMs),
          ageText(shard.checkpointUploadedMs, nowMs),
        ]);
        await printLine(table(shardHead, shards));
        for (const { name, offloadFailure } of cluster.shards) {
          if (offloadFailure === '') continue;
          await printLine(`the last offload of shard ${name} failed: ${offloadFailure}`);
        }
      });
    });
}
