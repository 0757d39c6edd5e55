// millrace namespace set|list|unset
import { Command } from 'commander';
import { UsageError } from '../exit.ts';
import { printJson, printLine, table } from '../output.ts';
import { withClient, withClientOptions, type ClientOptions } from '../options.ts';
import { withInheritOption, type InheritName, type PolicyOptions } from '../policy-options.ts';
import { policyLabels, policyLines } from '../policy-text.ts';
import { quotaText, type QuotaOptions } from '../quota-options.ts';
import { printChanges, scopePatchOf, withScopeOptions } from './tenant.ts';

type SetOptions = ClientOptions &
  PolicyOptions &
  QuotaOptions & { readonly inherit?: readonly InheritName[]; readonly dryRun?: boolean };

export function namespaceCommand(): Command {
  return new Command('namespace')
    .description('say what the topics of a namespace get, and what it may use')
    .addCommand(set())
    .addCommand(list())
    .addCommand(unset());
}

function set(): Command {
  return withScopeOptions(withInheritOption(new Command('set')))
    .description('change what is said of a namespace; only what is named changes')
    .argument('<tenant/namespace>')
    .option('--dry-run', 'say what would be done')
    .action(async (text: string, options: SetOptions) => {
      const [tenant, namespace] = scopeOf(text);
      await withClient(options, async (client) => {
        const { revision, namespaces } = await client.tenants.get(tenant);
        const before = namespaces.find(({ name }) => name === namespace)?.policy;
        const change = { [namespace]: scopePatchOf(options, before) };
        const dryRun = options.dryRun === true;
        const applied = await client.tenants.apply(
          tenant,
          { namespaces: change },
          { revision, dryRun },
        );
        await printChanges(applied, options);
      });
    });
}

function list(): Command {
  return withClientOptions(new Command('list'))
    .description('list the namespaces of a tenant of which something is said')
    .argument('<tenant>')
    .action(async (tenant: string, options: ClientOptions) => {
      await withClient(options, async (client) => {
        const { namespaces } = await client.tenants.get(tenant);
        if (options.output === 'json') {
          for (const namespace of namespaces) await printJson(namespace);
          return;
        }
        const rows = namespaces.map(({ name, policy, quota }) => [
          name,
          policyLines(policy)
            .map(([field, text]) => `${policyLabels[field]}: ${text}`)
            .join('; ') || '-',
          quotaText(quota),
        ]);
        await printLine(table(['NAME', 'POLICY', 'QUOTA'], rows));
      });
    });
}

function unset(): Command {
  return withClientOptions(new Command('unset'))
    .description('take back all that is said of a namespace; its topics inherit from the tenant')
    .argument('<tenant/namespace>')
    .option('--dry-run', 'say what would be done')
    .action(async (text: string, options: ClientOptions & { dryRun?: boolean }) => {
      const [tenant, namespace] = scopeOf(text);
      await withClient(options, async (client) => {
        const dryRun = options.dryRun === true;
        const namespaces = { [namespace]: { unset: true } };
        await printChanges(await client.tenants.apply(tenant, { namespaces }, { dryRun }), options);
      });
    });
}

function scopeOf(text: string): [string, string] {
  const [tenant = '', namespace = '', ...rest] = text.split('/');
  if (tenant !== '' && namespace !== '' && rest.length === 0) return [tenant, namespace];
  throw new UsageError(`a namespace is named TENANT/NAMESPACE, not ${JSON.stringify(text)}`);
}
