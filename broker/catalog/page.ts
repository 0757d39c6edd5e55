// One page of a sorted list. A token is the last name of the page before, so that it stays good while things come and
// go: nothing that existed all along is skipped or told twice.
import { BrokerError } from '../core/errors.ts';
import { limits } from '../core/limits.ts';
import { quoted } from '../core/quoted.ts';

export interface PageRequest {
  /** 0 or undefined: `listPageDefault`. */
  readonly pageSize?: number | undefined;
  /** Empty or undefined: from the beginning. */
  readonly pageToken?: string | undefined;
}

export interface Page<T> {
  readonly items: readonly T[];
  /** Empty: this was the last page. */
  readonly nextPageToken: string;
}

/** `namesFrom(text)` answers all names at or after a text, ascending. Throws ARGUMENT_INVALID. */
export function pageOf<T>(
  request: PageRequest,
  prefix: string,
  namesFrom: (text: string) => Iterable<string>,
  item: (name: string) => T,
): Page<T> {
  const size = readPageSize(request.pageSize ?? 0);
  const after = readToken(request.pageToken ?? '');
  const items: T[] = [];
  let last = '';
  for (const name of namesFrom(after > prefix ? after : prefix)) {
    if (name === after) continue;
    if (!name.startsWith(prefix)) break;
    if (items.length === size) return { items, nextPageToken: writeToken(last) };
    items.push(item(name));
    last = name;
  }
  return { items, nextPageToken: '' };
}

function readPageSize(size: number): number {
  if (size === 0) return limits.listPageDefault;
  if (Number.isInteger(size) && size > 0 && size <= limits.listPageMax) return size;
  throw new BrokerError(
    'ARGUMENT_INVALID',
    `page_size is ${size}; it must be a whole number from 1 to ${limits.listPageMax}, or 0 for ` +
      String(limits.listPageDefault),
    { metadata: { field: 'page_size', value: String(size) } },
  );
}

function writeToken(name: string): string {
  return Buffer.from(name, 'latin1').toString('base64url');
}

/** Only what `writeToken` could have made: a client that invents tokens must notice it. */
function readToken(token: string): string {
  const name = Buffer.from(token, 'base64url').toString('latin1');
  if (writeToken(name) === token) return name;
  throw new BrokerError(
    'ARGUMENT_INVALID',
    `page_token ${quoted(token)} is not one that a list has answered; begin again without it`,
    { metadata: { field: 'page_token', value: quoted(token) } },
  );
}
