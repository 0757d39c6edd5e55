// Bytes of a tenant inside the catalog's journal entries. Decoding throws WireError or NAME_INVALID, which
// catalog-entries.ts turns into DATA_LOSS.
import { tenantId } from '../core/ids.ts';
import { WireWriter } from '../../proto/wire/writer.ts';
import {
  bytesField,
  numberField,
  readId,
  readMessage,
  readText,
  withLabel,
  writeLabels,
} from './codec-fields.ts';
import { noLabels } from './labels.ts';
import { parseNamespaceName, parseTenantName, type NamespaceName } from './names.ts';
import type { SaidPolicy } from './policy.ts';
import { decodePolicy, decodeQuota, encodePolicy, encodeQuota } from './policy-codec.ts';
import { noQuota, type Quota } from './quota.ts';
import type { ScopeSpec, Tenant } from './tenant.ts';

export function encodeTenant({ id, name, spec, revision, createdAtMs }: Tenant): Buffer {
  const writer = new WireWriter(256);
  writer.uint(1, id);
  writer.string(2, name);
  writer.bytes(3, encodePolicy(spec.policy));
  writer.bytes(4, encodeQuota(spec.quota));
  for (const [namespace, scope] of spec.namespaces) {
    writer.bytes(5, encodeNamespace(namespace, scope));
  }
  writer.uint(6, revision);
  writer.uint(7, createdAtMs);
  writeLabels(writer, 8, spec.labels);
  return writer.finish();
}

export function decodeTenant(bytes: Uint8Array): Tenant {
  const head = { id: 0, name: '', revision: 0, createdAtMs: 0 };
  let policy: SaidPolicy = {};
  let quota: Quota = noQuota;
  let labels = noLabels;
  const namespaces = new Map<NamespaceName, ScopeSpec>();
  readMessage(bytes, {
    [numberField(1)]: (reader) => (head.id = reader.varint()),
    [bytesField(2)]: (reader) => (head.name = readText(reader)),
    [bytesField(3)]: (reader) => (policy = decodePolicy(reader.view())),
    [bytesField(4)]: (reader) => (quota = decodeQuota(reader.view())),
    [bytesField(5)]: (reader) => namespaces.set(...decodeNamespace(reader.view())),
    [numberField(6)]: (reader) => (head.revision = reader.varint()),
    [numberField(7)]: (reader) => (head.createdAtMs = reader.varint()),
    [bytesField(8)]: (reader) => (labels = withLabel(labels, reader)),
  });
  return {
    id: tenantId(readId(head.id, 'tenant id')),
    name: parseTenantName(head.name),
    spec: { policy, quota, namespaces, labels },
    revision: head.revision,
    createdAtMs: head.createdAtMs,
  };
}

function encodeNamespace(name: NamespaceName, { policy, quota }: ScopeSpec): Buffer {
  const writer = new WireWriter(128);
  writer.string(1, name);
  writer.bytes(2, encodePolicy(policy));
  writer.bytes(3, encodeQuota(quota));
  return writer.finish();
}

function decodeNamespace(bytes: Uint8Array): [NamespaceName, ScopeSpec] {
  let name = '';
  let policy: SaidPolicy = {};
  let quota: Quota = noQuota;
  readMessage(bytes, {
    [bytesField(1)]: (reader) => (name = readText(reader)),
    [bytesField(2)]: (reader) => (policy = decodePolicy(reader.view())),
    [bytesField(3)]: (reader) => (quota = decodeQuota(reader.view())),
  });
  return [parseNamespaceName(name), { policy, quota }];
}
