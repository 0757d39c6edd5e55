// A policy as people read it. Sizes are rounded: programs read the JSON.
import type { BacklogQuota, Policy, Retention, Tiering } from '../client/src/index.ts';
import { durationText, sizeText } from './output.ts';

/** A line per field, in the order in which they are shown; only of what is said. */
export function policyLines(policy: Partial<Policy>): readonly (readonly [keyof Policy, string])[] {
  const { retention, tiering, batchBytesMax, backlogQuota, timeToLiveMs } = policy;
  const lines: [keyof Policy, string][] = [];
  if (retention !== undefined) lines.push(['retention', retentionText(retention)]);
  if (tiering !== undefined) lines.push(['tiering', hotText(tiering)]);
  if (batchBytesMax !== undefined) lines.push(['batchBytesMax', sizeText(batchBytesMax)]);
  if (backlogQuota !== undefined) lines.push(['backlogQuota', backlogText(backlogQuota)]);
  if (timeToLiveMs !== undefined) lines.push(['timeToLiveMs', timeToLiveText(timeToLiveMs)]);
  return lines;
}

export const policyLabels: Readonly<Record<keyof Policy, string>> = {
  retention: 'retention',
  tiering: 'hot',
  batchBytesMax: 'largest batch',
  backlogQuota: 'backlog',
  timeToLiveMs: 'time to live',
};

function hotText({ hotAgeMs, hotBytes }: Tiering): string {
  return windowText(hotAgeMs, hotBytes) ?? 'as long as the disk has room';
}

function backlogText({ bytes, policy }: BacklogQuota): string {
  if (bytes === 0) return 'no limit';
  const then = policy === 'drop-oldest' ? 'then the oldest go' : 'then publishing is refused';
  return `up to ${sizeText(bytes)} per partition, ${then}`;
}

function timeToLiveText(timeToLiveMs: number): string {
  return timeToLiveMs === 0 ? 'for ever' : `${durationText(timeToLiveMs)} (queues)`;
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
