// From the records that an application publishes to those that are stored.
import { clientError, MillraceError } from '../errors.ts';
import type { Encoder } from '../records/codec.ts';
import type { PublishRecord } from '../records/record.ts';

/** The same record with the bytes of its value. */
export type ValueEncoding<T> = (record: PublishRecord<T>) => PublishRecord;

/** Without a codec values are bytes already. */
export const bytesAsTheyAre: ValueEncoding<string | Uint8Array> = (record) => record;

/** What the codec throws becomes RECORD_INVALID. */
export function encodingOf<T>(codec: Encoder<T>): ValueEncoding<T> {
  return (record) => {
    try {
      return { ...record, value: codec.encode(record.value) };
    } catch (error) {
      // The codec itself is wrong; the value is not.
      if (error instanceof MillraceError) throw error;
      const text = error instanceof Error ? error.message : String(error);
      throw clientError('RECORD_INVALID', `the value does not fit the codec: ${text}`, {
        cause: error,
      });
    }
  };
}
