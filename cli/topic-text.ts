// A topic as people read it: settings, and of each partition what is cold, what is hot, and what only the disk has.
//
// Ranges are written with their first and last offset; `-` is an empty one. Sizes are rounded: programs read the JSON.
import type { PolicyLevel, Topic, TopicPartition, TopicStatus } from '../client/src/index.ts';
import { labelLines } from './label-options.ts';
import { isoTime, sizeText, table } from './output.ts';
import { policyLabels, policyLines } from './policy-text.ts';

/** Several lines, the last of them a table of partitions. */
export function topicText(topic: Topic): string {
  return [
    `name           ${topic.name}`,
    `id             ${topic.topicId}`,
    ...labelLines(topic.spec.labels),
    ...policyLines(topic.policy).map(
      ([field, text]) =>
        `${policyLabels[field].padEnd(15)}${text}${sourceText(topic.policySources[field])}`,
    ),
    `stored         ${storedText(topic)}`,
    `subscriptions  ${topic.subscriptionCount}`,
    '',
    table(partitionHead, topic.partitions.map(partitionRow)),
  ].join('\n');
}

/** Nothing of what the topic says itself: that is where people look first. */
function sourceText(level: PolicyLevel): string {
  return level === 'topic' ? '' : ` (${level})`;
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
