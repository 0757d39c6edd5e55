// What specs of all kinds share: checks of single fields, and changes told in the names of the API.
import { BrokerError } from '../core/errors.ts';

/** Fields by their names in the API. */
export type SpecFields = Readonly<Record<string, number | boolean | string>>;

/** One line per field that differs. */
export function fieldChanges(before: SpecFields, after: SpecFields): string[] {
  return Object.entries(after)
    .filter(([field, value]) => before[field] !== value)
    .map(([field, value]) => `${field}: ${String(before[field])} -> ${String(value)}`);
}

export function describeFields(fields: SpecFields): string {
  return Object.entries(fields)
    .map(([field, value]) => `${field} ${String(value)}`)
    .join(', ');
}

/** Throws SPEC_INVALID unless the value is a whole number between both, inclusive. */
export function checkBetween(field: string, value: number, min: number, max: number): void {
  if (!Number.isSafeInteger(value) || value < min || value > max) {
    throw specInvalid(field, String(value), `must be a whole number from ${min} to ${max}`);
  }
}

export function specInvalid(field: string, value: string, rule: string): BrokerError {
  return new BrokerError('SPEC_INVALID', `${field} is ${value}, but it ${rule}`, {
    metadata: { field, value },
  });
}
