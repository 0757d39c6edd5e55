// How an application's values become the bytes of records, and back.

/**
 * Given to publishers as `codec`, and to consumers and readers. `In` is what a publisher takes, `Out` what a consumer
 * gets; they differ only when reading fills in defaults or converts.
 *
 * ```ts
 * const utf8: Codec<string> = { encode: (text) => text, decode: (bytes) => bytes.toString('utf8') };
 * ```
 */
export interface Codec<Out, In = Out> {
  /** The bytes to store. What it throws refuses the record with RECORD_INVALID. */
  encode(value: In): string | Uint8Array;
  /** A view of what was received: copy what is kept. What it throws becomes VALUE_INVALID. */
  decode(bytes: Buffer): Out;
}

/** The half that consumers and readers need. */
export type Decoder<T> = Pick<Codec<T, never>, 'decode'>;

/** The half that publishers need. */
export type Encoder<T> = Pick<Codec<unknown, T>, 'encode'>;

/** For records without a codec: the bytes themselves. */
export const rawBytes: Decoder<Buffer> = { decode: (bytes) => bytes };
