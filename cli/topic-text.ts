// A topic as people read it: settings, and of each partition what is cold, what is hot, and what only the disk has.
//
// Ranges are written with their first and last offset; `-` is an empty one. Sizes are rounded: programs read the JSON.
import type {
  BacklogQuota,
  Retention,
  Tiering,
  Topic,
  TopicPartition,
  TopicStatus,
} from '../client/src/index.ts';
import { durationText, isoTime, sizeText, table } from './output.ts';

/** Several lines, the last of them a table of partitions. */
export function topicText(topic: Topic): string {
  const { spec } = topic;
  return [
    `name           ${topic.name}`,
    `id             ${topic.topicId}`,
    `retention      ${retentionText(spec.retention)}`,
    `hot            ${hotText(spec.tiering)}`,
    `largest batch  ${sizeText(spec.batchBytesMax)}`,
    `backlog        ${backlogText(spec.backlogQuota)}`,
    ...(spec.timeToLiveMs === 0
      ? []
      : [`time to live   ${durationText(spec.timeToLiveMs)} (queues)`]),
    `stored         ${storedText(topic)}`,
    `subscriptions  ${topic.subscriptionCount}`,
    '',
    table(partitionHead, topic.partitions.map(partitionRow)),
  ].join('\n');
}

/** How many records would be lost with the disk. */
export function onlyOnDiskCount({ partitions }: TopicStatus): number {
  return partitions.reduce((sum, partition) => sum + countOf(onlyOnDiskOf(partition)), 0);
}

const partitionHead = [
  'PARTITION',
  'START',
  'END',
  'COLD',
  'HOT',
  'ONLY ON DISK',
  'STORED',
  'ON DISK',
  'IN STORE',
  'LAST APPEND',
  'SHARD',
  'EPOCH',
  'DAMAGE',
];

function partitionRow(partition: TopicPartition): (string | number)[] {
  const { startOffset, hotStartOffset, endOffset } = partition;
  return [
    partition.partition,
    startOffset,
    endOffset,
    rangeText({ first: startOffset, end: hotStartOffset }),
    rangeText({ first: hotStartOffset, end: endOffset }),
    rangeText(onlyOnDiskOf(partition)),
    sizeText(partition.storedBytes),
    sizeText(partition.hotBytes),
    sizeText(partition.coldBytes),
    isoTime(partition.lastAppendTimeMs),
    partition.owner?.shard ?? '-',
    partition.owner?.epoch ?? 0,
    partition.damage === '' ? '-' : partition.damage,
  ];
}

/** Offsets from `first` up to, not including, `end`. */
interface OffsetRange {
  readonly first: number;
  readonly end: number;
}

/** What would be lost with the disk. */
function onlyOnDiskOf({ offloadedEndOffset, endOffset }: TopicPartition): OffsetRange {
  return { first: offloadedEndOffset, end: endOffset };
}

function countOf({ first, end }: OffsetRange): number {
  return Math.max(0, end - first);
}

/** First and last offset. */
function rangeText(range: OffsetRange): string {
  return countOf(range) === 0 ? '-' : `${range.first}..${range.end - 1}`;
}

function storedText({ storedBytes, hotBytes, coldBytes }: TopicStatus): string {
  const inStore = `${sizeText(coldBytes)} in the object store`;
  return `${sizeText(storedBytes)}: ${sizeText(hotBytes)} on the disk, ${inStore}`;
}

function hotText({ hotAgeMs, hotBytes }: Tiering): string {
  return windowText(hotAgeMs, hotBytes) ?? 'as long as the disk has room';
}

function backlogText({ bytes, policy }: BacklogQuota): string {
  if (bytes === 0) return 'no limit';
  const then = policy === 'drop-oldest' ? 'then the oldest go' : 'then publishing is refused';
  return `up to ${sizeText(bytes)} per partition, ${then}`;
}

function retentionText({ ageMs, bytes, forever, unackedAgeMs }: Retention): string {
  if (forever) return 'everything is kept';
  const kept = windowText(ageMs, bytes) ?? 'nothing that is acked';
  const unacked =
    unackedAgeMs > 0 ? `unacked up to ${durationText(unackedAgeMs)}` : 'unacked for ever';
  return `${kept}; ${unacked}`;
}

/** Undefined: no limit at all. */
function windowText(ageMs: number, bytes: number): string | undefined {
  const limits = [
    ageMs > 0 ? `younger than ${durationText(ageMs)}` : '',
    bytes > 0 ? `the newest ${sizeText(bytes)} per partition` : '',
  ].filter((text) => text !== '');
  return limits.length > 0 ? limits.join(' and ') : undefined;
}
