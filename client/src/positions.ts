// Positions and gaps between the API and plain values.
import type { MessageInitShape } from '@bufbuild/protobuf';
import {
  Edge,
  GapReason,
  type Gap,
  type Position as PositionMessage,
  type PositionSchema,
} from '../../proto/gen/millrace/v1/stream_pb.ts';

/** A place in a partition. */
export type PositionLike =
  | 'earliest'
  | 'latest'
  /** `epoch` of the record before it: refused with POSITION_DIVERGED if that record was lost. */
  | { readonly offset: number; readonly epoch?: number }
  /** First record stored at or after it, ms. */
  | { readonly timeMs: number };

/** Offsets that will never come. */
export interface GapRange {
  readonly partition: number;
  readonly firstOffset: number;
  readonly lastOffset: number;
  readonly reason: 'expired' | 'unknown';
}

export function positionToProto(position: PositionLike): MessageInitShape<typeof PositionSchema> {
  if (position === 'earliest') return { at: { case: 'edge', value: Edge.EARLIEST } };
  if (position === 'latest') return { at: { case: 'edge', value: Edge.LATEST } };
  if ('offset' in position) {
    return { at: { case: 'offset', value: BigInt(position.offset) }, epoch: position.epoch ?? 0 };
  }
  return { at: { case: 'appendTimeMs', value: BigInt(position.timeMs) } };
}

export function positionFromProto(position: PositionMessage | undefined): PositionLike | undefined {
  switch (position?.at.case) {
    case 'offset':
      return { offset: Number(position.at.value), epoch: position.epoch };
    case 'appendTimeMs':
      return { timeMs: Number(position.at.value) };
    case 'edge':
      return position.at.value === Edge.EARLIEST ? 'earliest' : 'latest';
    case undefined:
      return undefined;
  }
}

export function gapFromProto({ partition, firstOffset, lastOffset, reason }: Gap): GapRange {
  return {
    partition,
    firstOffset: Number(firstOffset),
    lastOffset: Number(lastOffset),
    reason: reason === GapReason.EXPIRED ? 'expired' : 'unknown',
  };
}
