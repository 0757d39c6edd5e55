// Records as an application gives and gets them.

/** What is published. With a codec the value is of its type. */
export interface PublishRecord<T = string | Uint8Array> {
  /** At most 1 KiB; chooses the partition. Empty and absent are the same. */
  readonly key?: string | Uint8Array;
  readonly value: T;
  /** At most 64; names are 1 to 128 printable ASCII characters and may repeat. */
  readonly headers?:
    | Readonly<Record<string, string | Uint8Array>>
    | readonly (readonly [string, string | Uint8Array])[];
  /** Your own time in ms; data only. */
  readonly timestampMs?: number;
  /** Instead of the one that the key chooses. */
  readonly partition?: number;
  /** Queues hold it back until then (ms since 1970, or a Date), at most for 100 years; readers and streams do not. */
  readonly deliverAt?: number | Date;
  /** The same from when the broker gets it, ms. */
  readonly delayMs?: number;
  /** Queues do not deliver it any more when it has been due for so long, ms. Default: as the topic says. */
  readonly timeToLiveMs?: number;
  /** 0 to 9, default 0: queues deliver higher ones first. */
  readonly priority?: number;
}

/**
 * What is read; the value is of the codec's type, or bytes. Bytes are views of the frame they came in: copy them to
 * keep them for long.
 */
export interface ReceivedRecord<T = Buffer> {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** Ownership epoch it was appended in; with the offset it names the record for ever. */
  readonly epoch: number;
  /** Broker's clock when it was stored, ms. */
  readonly appendTimeMs: number;
  /** Empty when it has none. */
  readonly key: Buffer;
  /** With a codec decoded when it is first asked for; throws VALUE_INVALID when it cannot be. */
  readonly value: T;
  /** The value as it is stored. */
  readonly valueBytes: Buffer;
  readonly headers: readonly (readonly [string, Buffer])[];
  /** The publisher's own time, ms; 0 when it gave none. */
  readonly timestampMs: number;
  /** The stored value as UTF-8. */
  text(): string;
  /** The stored value as JSON; throws SyntaxError. */
  json(): unknown;
}
