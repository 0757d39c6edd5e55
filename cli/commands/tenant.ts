// millrace tenant create|list|describe|alter|delete
import { Command } from 'commander';
import type { Client, Policy, TenantPatch } from '../../client/src/index.ts';
import { isoTime, printJson, printLine, table } from '../output.ts';
import { withLabelOption, type Labels } from '../label-options.ts';
import { withClient, withClientOptions, type ClientOptions } from '../options.ts';
import {
  inheritOf,
  policyOf,
  withInheritOption,
  withPolicyOptions,
  type InheritName,
  type PolicyOptions,
} from '../policy-options.ts';
import { quotaOf, quotaText, withQuotaOptions, type QuotaOptions } from '../quota-options.ts';
import { saidToExist } from '../said-to-exist.ts';
import { tenantText } from '../tenant-text.ts';

type SpecOptions = PolicyOptions & QuotaOptions & { readonly inherit?: readonly InheritName[] };
type TenantOptions = SpecOptions & { readonly label?: Labels };
type ApplyOptions = ClientOptions & TenantOptions & { readonly dryRun?: boolean };

export function tenantCommand(): Command {
  return new Command('tenant')
    .description('create, look at, change and delete tenants, their policies and quotas')
    .addCommand(create())
    .addCommand(list())
    .addCommand(describe())
    .addCommand(alter())
    .addCommand(remove());
}

/** Adds what may be said of a tenant or a namespace. */
export function withScopeOptions(command: Command): Command {
  return withClientOptions(withQuotaOptions(withPolicyOptions(command)));
}

/** What is to be changed. `before`: what it says now. */
export function scopePatchOf(
  options: SpecOptions,
  before?: Parameters<typeof policyOf>[1],
): Pick<TenantPatch, 'policy' | 'quota' | 'inherit'> {
  const quota = quotaOf(options);
  return {
    policy: policyOf(options, before),
    inherit: inheritOf(options.inherit),
    ...(quota === undefined ? {} : { quota }),
  };
}

/** Says what was changed, or would be. */
export async function printChanges(
  applied: { readonly changes: readonly string[] },
  { output, dryRun }: { readonly output: 'json' | 'table'; readonly dryRun?: boolean },
): Promise<void> {
  if (output === 'json') return printJson(applied);
  const lines = applied.changes.length > 0 ? applied.changes : ['nothing to do'];
  for (const line of lines) await printLine(dryRun === true ? `would ${line}` : line);
}

function create(): Command {
  return withLabelOption(withScopeOptions(new Command('create')))
    .description('create a tenant; it must not exist yet')
    .argument('<name>')
    .option('--if-not-exists', 'do nothing when the tenant is there already')
    .option('--dry-run', 'say what would be done')
    .action(async (name: string, options: ApplyOptions & { ifNotExists?: boolean }) => {
      await withClient(options, async (client) => {
        const patch = tenantPatchOf(options);
        const plan = () => client.tenants.apply(name, patch, { dryRun: true });
        if (options.ifNotExists === true && (await saidToExist(`tenant ${name}`, options, plan))) {
          return;
        }
        await applyWith(client, name, options, patch, '0');
      });
    });
}

function alter(): Command {
  return withLabelOption(withScopeOptions(withInheritOption(new Command('alter'))))
    .description('change a tenant; only what is named changes, at once for all of its topics')
    .argument('<name>')
    .option('--dry-run', 'say what would be done')
    .action(async (name: string, options: ApplyOptions) => {
      await withClient(options, async (client) => {
        const { revision, policy } = await client.tenants.get(name);
        await applyWith(client, name, options, tenantPatchOf(options, policy), revision);
      });
    });
}

function tenantPatchOf(options: TenantOptions, before?: Partial<Policy>): TenantPatch {
  const { label: labels } = options;
  return { ...scopePatchOf(options, before), ...(labels === undefined ? {} : { labels }) };
}

async function applyWith(
  client: Client,
  name: string,
  options: ApplyOptions,
  patch: TenantPatch,
  revision: string,
): Promise<void> {
  const dryRun = options.dryRun === true;
  await printChanges(await client.tenants.apply(name, patch, { revision, dryRun }), options);
}

function list(): Command {
  return withClientOptions(new Command('list'))
    .description('list tenants by name')
    .action(async (options: ClientOptions) => {
      await withClient(options, async (client) => {
        const rows: string[][] = [];
        for await (const tenant of client.tenants.list()) {
          if (options.output === 'json') await printJson(tenant);
          else {
            const { name, tenantId, createdAtMs, quota } = tenant;
            rows.push([name, tenantId, isoTime(createdAtMs), quotaText(quota)]);
          }
        }
        if (options.output === 'table') {
          await printLine(table(['NAME', 'ID', 'CREATED', 'QUOTA'], rows));
        }
      });
    });
}

function describe(): Command {
  return withClientOptions(new Command('describe'))
    .description('show a tenant: what it says, what it may use and what it uses')
    .argument('<name>')
    .action(async (name: string, options: ClientOptions) => {
      await withClient(options, async (client) => {
        const tenant = await client.tenants.get(name);
        if (options.output === 'json') await printJson(tenant);
        else await printLine(tenantText(tenant));
      });
    });
}

function remove(): Command {
  return withClientOptions(new Command('delete'))
    .description('delete a tenant; it must have no topics')
    .argument('<name>')
    .option('--tenant-id <id>', 'only this incarnation of the tenant')
    .action(async (name: string, options: ClientOptions & { tenantId?: string }) => {
      await withClient(options, async (client) => {
        await client.tenants.delete(name, { tenantId: options.tenantId ?? '' });
        if (options.output === 'json') await printJson({ deleted: name });
        else await printLine(`deleted tenant ${name}`);
      });
    });
}
