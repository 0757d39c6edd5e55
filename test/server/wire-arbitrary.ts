// Numbers and bytes for messages on the wire, with the borders where their encoding changes.
import fc from 'fast-check';

const uint32Max = 2 ** 32 - 1;

export const uint32 = fc.oneof(
  fc.constantFrom(0, 1, 127, 128, 2 ** 31 - 1, 2 ** 31, uint32Max),
  fc.integer({ min: 0, max: uint32Max }),
);

/** Below 2^53, as every uint64 of the API is. */
export const uint53 = fc.oneof(
  fc.constantFrom(0, 1, 127, 128, 2 ** 31, uint32Max, 2 ** 32, 2 ** 49, Number.MAX_SAFE_INTEGER),
  fc.maxSafeNat(),
);

export const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array));

/** Any text that UTF-8 has, so no lone surrogates. */
export const text = fc.string({ unit: 'binary', maxLength: 40 });
