// JSON as a codec, checked by a schema if there is one.
//
// Invariant: what `encode` lets through, `decode` with the same schema accepts: the check is made on what JSON keeps of
// a value, not on the value (it turns dates into text and drops what is undefined).
import { clientError } from '../errors.ts';
import type { Codec } from './codec.ts';
import type { SchemaIssue, StandardSchema } from './standard-schema.ts';

/** More than a person reads, and than a dead letter keeps. */
const issuesToldMax = 5;

/**
 * Values as JSON in UTF-8. With a schema of any library that has the Standard Schema interface (Zod, Valibot, ArkType
 * and others) values are checked when they are published, and again when they are read: the publisher is refused with
 * RECORD_INVALID, the reader gets what the schema makes of it, or VALUE_INVALID. Without one, `T` is taken on trust.
 * Schemas that validate asynchronously are refused with ARGUMENT_INVALID.
 *
 * ```ts
 * const order = json<{ customer: string; total: number }>();
 * await client.publisher('orders', { codec: order }).publish({ value: { customer: 'Ada', total: 3 } });
 * ```
 */
export function json<T>(): Codec<T>;
export function json<In, Out>(schema: StandardSchema<In, Out>): Codec<Out, In>;
export function json(schema?: StandardSchema): Codec<unknown> {
  if (schema === undefined) return { encode: stringify, decode: parse };
  return {
    encode: (value) => {
      const text = stringify(value);
      checked(schema, JSON.parse(text));
      return text;
    },
    decode: (bytes) => checked(schema, parse(bytes)),
  };
}

function stringify(value: unknown): string {
  // Its type hides that functions, symbols and undefined have no JSON.
  const text = JSON.stringify(value) as string | undefined;
  if (text === undefined) throw new TypeError(`${typeof value} has no JSON`);
  return text;
}

function parse(bytes: Buffer): unknown {
  return JSON.parse(bytes.toString('utf8'));
}

/** What the schema makes of the value. Throws TypeError with the path and message of each issue. */
function checked(schema: StandardSchema, value: unknown): unknown {
  const result = schema['~standard'].validate(value);
  if (result instanceof Promise) {
    // Whatever it will say, nobody waits for it.
    result.catch(() => undefined);
    throw clientError(
      'ARGUMENT_INVALID',
      'the schema validates asynchronously; a codec needs one that does not',
    );
  }
  if (result.issues === undefined) return result.value;
  throw new TypeError(textOf(result.issues));
}

function textOf(issues: readonly SchemaIssue[]): string {
  const told = issues.slice(0, issuesToldMax).map(({ message, path = [] }) => {
    const place = path.map((part) => String(typeof part === 'object' ? part.key : part)).join('.');
    return place === '' ? message : `${place}: ${message}`;
  });
  const untold = issues.length - told.length;
  return untold > 0 ? `${told.join('; ')}; and ${untold} more` : told.join('; ');
}
