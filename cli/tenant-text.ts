// A tenant as people read it. Sizes are rounded: programs read the JSON.
import type { DescribedTenant } from '../client/src/index.ts';
import { labelLines } from './label-options.ts';
import { isoTime, sizeText, table } from './output.ts';
import { policyLabels, policyLines } from './policy-text.ts';
import { quotaRows, quotaText } from './quota-options.ts';

export function tenantText(tenant: DescribedTenant): string {
  const { name, tenantId, createdAtMs, policy, quota, usage, namespaces } = tenant;
  const lines = [
    `name           ${name}`,
    `id             ${tenantId}`,
    ...labelLines(tenant.labels),
    `created        ${isoTime(createdAtMs)}`,
    ...policyLines(policy).map(([field, text]) => `${policyLabels[field].padEnd(15)}${text}`),
    `held back      ${usage.heldBackTotal} streams, ${usage.refusedTotal} refused`,
    '',
    table(['QUOTA', 'USED', 'ALLOWED'], quotaRows(quota, usage)),
  ];
  if (namespaces.length === 0) return lines.join('\n');
  const rows = namespaces.map((namespace) => {
    const used = tenant.namespaceUsage.find((one) => one.name === namespace.name);
    const said = policyLines(namespace.policy).map(
      ([field, text]) => `${policyLabels[field]}: ${text}`,
    );
    return [
      namespace.name,
      used?.topics ?? 0,
      sizeText(used?.storedBytes ?? 0),
      quotaText(namespace.quota),
      said.join('; ') || '-',
    ];
  });
  return [...lines, '', table(['NAMESPACE', 'TOPICS', 'STORED', 'QUOTA', 'POLICY'], rows)].join(
    '\n',
  );
}
