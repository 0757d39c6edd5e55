// A redriven letter's record: as its publisher made it, with one header that says how often it was redriven.
//
// Invariant: what says why it was dead is gone, so that nobody takes it for a dead letter.
import { letterOf } from './dead-letter-view.ts';
import { redrivenHeader, withReservedHeaders } from './reserved-headers.ts';

/** From and to a plain batch of one record. */
export function redrivenRecord(batch: Buffer): Buffer {
  const times = letterOf(batch).redrivenCount + 1;
  return withReservedHeaders(batch, { [redrivenHeader]: String(times) });
}
