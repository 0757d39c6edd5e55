// Every step of tiering at which a broker may die, and the flags with which it comes to them again and again.
import type { FailPointName } from '../../broker/core/fail-point.ts';

export const tieringSteps: readonly FailPointName[] = [
  'offload-before-put',
  'offload-after-put',
  'offload-after-verify',
  'offload-after-record',
  'manifest-after-put',
  'manifest-after-record',
  'generation-before-drop',
  'generation-after-drop',
  'checkpoint-after-put',
  'checkpoint-after-swap',
  'garbage-before-delete',
  'garbage-after-delete',
];

export const tieringArgs: readonly string[] = [
  ['--generation-bytes', '1M', '--retention-interval-ms', '50', '--hot-bytes', '1'],
  ['--checkpoint-upload-interval-ms', '200', '--garbage-interval-ms', '200'],
  ['--garbage-grace-ms', '0', '--log-level', 'error'],
].flat();
