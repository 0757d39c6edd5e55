import { BatchMarks } from '../../broker/log/batch-marks.ts';

/** Of a partition that holds nothing back and prefers nothing. */
export function noMarks(): BatchMarks {
  return new BatchMarks({ left: 1_000_000 });
}
