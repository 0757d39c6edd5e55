// Numbers that an application gives, checked where they come in.
import { clientError } from './errors.ts';

/** Throws ARGUMENT_INVALID. */
export function numberWithin(name: string, value: number, min: number, max: number): number {
  if (value >= min && value <= max) return value;
  throw clientError('ARGUMENT_INVALID', `${name} is a number from ${min} to ${max}, not ${value}`);
}

/** Throws ARGUMENT_INVALID. */
export function integerWithin(name: string, value: number, min: number, max: number): number {
  if (Number.isInteger(value)) return numberWithin(name, value, min, max);
  throw clientError('ARGUMENT_INVALID', `${name} is a whole number, not ${value}`);
}

/** A count for the API. Throws ARGUMENT_INVALID: BigInt would throw an error of its own. */
export function amount(name: string, value: number): bigint {
  return BigInt(integerWithin(name, value, 0, Number.MAX_SAFE_INTEGER));
}
