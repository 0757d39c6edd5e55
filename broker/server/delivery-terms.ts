// What a publisher says about the delivery of a batch, checked.
import { BrokerError } from '../core/errors.ts';
import { limits } from '../core/limits.ts';
import { plainTerms, type DeliveryTerms } from '../log/delivery-terms.ts';
import type { TermsFields } from './wire/publish-codec.ts';

/** Throws ARGUMENT_INVALID. `nowMs`: wall clock. */
export function deliveryTerms(fields: TermsFields, nowMs: number): DeliveryTerms {
  const { deliverAtMs, delayMs, timeToLiveMs, priority } = fields;
  if (deliverAtMs === 0 && delayMs === 0 && timeToLiveMs === 0 && priority === 0) return plainTerms;
  if (deliverAtMs > 0 && delayMs > 0) {
    throw new BrokerError('ARGUMENT_INVALID', 'set deliver_at_ms or delay_ms, not both');
  }
  const at = delayMs > 0 ? nowMs + delayMs : deliverAtMs;
  check('deliver_at_ms', at - nowMs, limits.farFutureMs, '100 years from now');
  check('time_to_live_ms', timeToLiveMs, limits.farFutureMs, '100 years');
  check('priority', priority, limits.priorityMax, String(limits.priorityMax));
  return { ...plainTerms, deliverAtMs: at, timeToLiveMs, priority };
}

function check(field: string, value: number, max: number, maxText: string): void {
  if (value <= max) return;
  throw new BrokerError('ARGUMENT_INVALID', `${field} is above ${maxText}; choose a lower value`, {
    metadata: { field },
  });
}
