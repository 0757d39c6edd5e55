// Names of the objects that hold a tenant's records, and the numbers they are made of.
//
//   tenants/<tenant>/segments/<hash2>/<shard>-<epoch>-<number>.seg     batches
//   tenants/<tenant>/manifests/<hash2>/<shard>-<epoch>-<number>.man    pages of a partition's manifest
//
// Invariants:
// - A name is given once: the epoch is of one ownership of the shard, the number counts up within it.
// - Tenants and shards never share a name, and a name says whose it is: who may delete an object is read from it.
// - `hash2` spreads names over 256 prefixes, which is how S3 spreads load.
import { murmur3 } from '../../proto/wire/murmur3.ts';
import { tenantId, type TenantId } from '../core/ids.ts';
import { objectKey, type ObjectKey } from '../objects/object-store.ts';

export type TierObjectKind = 'segment' | 'manifest';

/** An object of one shard: who made it, and its number. */
export interface ObjectId {
  readonly epoch: number;
  /** From 1, counted over all kinds within the epoch. */
  readonly number: number;
}

export interface TierObject extends ObjectId {
  readonly kind: TierObjectKind;
  readonly tenant: TenantId;
  readonly shard: string;
}

const folders = { segment: 'segments', manifest: 'manifests' } as const;
const suffixes = { segment: '.seg', manifest: '.man' } as const;
const pathPattern = /^tenants\/([1-9][0-9]{0,9})\/(segments|manifests)\/[0-9a-f]{2}\/([^/]+)$/;
const namePattern = /^([a-z0-9-]{1,32})-([1-9][0-9]{0,9})-([1-9][0-9]{0,9})\.(?:seg|man)$/;

/** Everything of all tenants begins with it. */
export const tenantsPrefix = 'tenants/';

export function tierObjectKey(object: TierObject): ObjectKey {
  const { kind, tenant, shard, epoch, number } = object;
  const name = `${shard}-${epoch}-${number}`;
  return objectKey(
    'tenants',
    String(tenant),
    folders[kind],
    hash2(name),
    `${name}${suffixes[kind]}`,
  );
}

/** Undefined for a key that is not ours. */
export function parseTierObjectKey(key: string): TierObject | undefined {
  const [, tenant, folder, name = ''] = pathPattern.exec(key) ?? [];
  const [, shard, epoch, number] = namePattern.exec(name) ?? [];
  if (shard === undefined) return undefined;
  const object: TierObject = {
    kind: folder === folders.segment ? 'segment' : 'manifest',
    tenant: tenantId(Number(tenant)),
    shard,
    epoch: Number(epoch),
    number: Number(number),
  };
  return tierObjectKey(object) === key ? object : undefined;
}

/** Names an object within its shard. */
export function objectIdText({ epoch, number }: ObjectId): string {
  return `${epoch}-${number}`;
}

function hash2(name: string): string {
  const bytes = Buffer.from(name);
  return (murmur3(bytes, 0, bytes.length) & 0xff).toString(16).padStart(2, '0');
}
