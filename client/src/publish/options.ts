// What a publisher can be told, and what it does when it is not told.
import { numberWithin } from '../checked-number.ts';
import type { MillraceError } from '../errors.ts';
import type { CompressionName } from '../records/compress.ts';

export interface PublisherOptions {
  /**
   * Stable name, 1 to 128 printable ASCII characters, not beginning with `~`: a process that starts again under it
   * goes on where the one before stopped, and fences it. Default: a random name that lives as long as the publisher.
   */
  readonly publisher?: string;
  /**
   * How long records gather before their batch is sent, ms, 0 to 60,000. Default 0: an idle publisher sends at the end
   * of the turn of the event loop; while batches are on their way records gather.
   */
  readonly lingerMs?: number;
  /** A batch is sent when it has this many bytes, 1 to 3 MiB. Default 64 KiB. A larger record goes alone. */
  readonly batchBytes?: number;
  /** `ready()` holds back while this publisher has so many unconfirmed bytes. Default 8 MiB. */
  readonly windowBytes?: number;
  /** How batches travel and are stored. A batch that does not shrink goes as it is. Default `none`. */
  readonly compression?: CompressionName;
  /** A record that is not confirmed within so many ms fails with DELIVERY_TIMEOUT. Default: tried for ever. */
  readonly deliveryTimeoutMs?: number;
  /** How long `close()` waits for confirmations, ms. Default 10,000. */
  readonly closeTimeoutMs?: number;
  /**
   * Called for every batch that failed with records given to `send`, with their number. The first such error is thrown
   * by the next `flush()` too. It must not throw.
   */
  readonly onError?: (error: MillraceError, recordCount: number) => void;
}

export interface PublisherSettings {
  readonly lingerMs: number;
  readonly batchBytes: number;
  readonly windowBytes: number;
  readonly compression: CompressionName;
  readonly deliveryTimeoutMs: number;
  readonly closeTimeoutMs: number;
  readonly onError: (error: MillraceError, recordCount: number) => void;
}

const KiB = 1024;
const MiB = 1024 * KiB;

export const publishLimits = {
  /** What all publishers of one client may hold (reject): an application that ignores `ready()` stops here. */
  heldBytesMax: 256 * MiB,
  /** `ready()` of every publisher holds back while the client holds so much. */
  heldBytesReady: 64 * MiB,
} as const;

/** The options with defaults for what is absent. Throws ARGUMENT_INVALID. */
export function publisherSettings(options: PublisherOptions): PublisherSettings {
  return {
    lingerMs: numberWithin('lingerMs', options.lingerMs ?? 0, 0, 60_000),
    batchBytes: numberWithin('batchBytes', options.batchBytes ?? 64 * KiB, 1, 3 * MiB),
    windowBytes: numberWithin('windowBytes', options.windowBytes ?? 8 * MiB, 1, 64 * MiB),
    compression: options.compression ?? 'none',
    deliveryTimeoutMs: numberWithin(
      'deliveryTimeoutMs',
      options.deliveryTimeoutMs ?? Infinity,
      1,
      Infinity,
    ),
    closeTimeoutMs: numberWithin(
      'closeTimeoutMs',
      options.closeTimeoutMs ?? 10_000,
      0,
      2 ** 31 - 1,
    ),
    onError: options.onError ?? ignore,
  };
}

function ignore(): void {
  // `flush()` tells of the failure.
}
