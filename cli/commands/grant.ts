// millrace grant add|list|remove|check
import { Command } from 'commander';
import type { Grant, Role } from '../../client/src/index.ts';
import { UsageError } from '../exit.ts';
import { withClient, withClientOptions, type ClientOptions } from '../options.ts';
import { isoTime, printJson, printLine, table } from '../output.ts';

const roleNames: readonly Role[] = ['view', 'publish', 'consume', 'administer', 'operate'];

export function grantCommand(): Command {
  return new Command('grant')
    .description('say who may do what, see it, take it back')
    .addCommand(add())
    .addCommand(list())
    .addCommand(remove())
    .addCommand(check());
}

function add(): Command {
  return withClientOptions(new Command('add'))
    .description('add roles of a principal on a scope')
    .argument('<principal>', 'such as token:ci, jwt:corp:alice or serviceaccount:shop:billing')
    .argument('<scope>', 'TENANT, TENANT/NAMESPACE, TENANT/NAMESPACE/TOPIC, or * for everything')
    .argument('<roles...>', roleNames.join(', '))
    .action(async (principal: string, scope: string, roles: string[], options: ClientOptions) => {
      const wanted = roles.map(roleOf);
      await withClient(options, async (client) => {
        const grant = await client.access.grant(principal, scope, wanted);
        if (options.output === 'json') await printJson(grant);
        else await printLine(`${grant.principal} has ${grant.roles.join(', ')} on ${grant.scope}`);
      });
    });
}

function list(): Command {
  return withClientOptions(new Command('list'))
    .description('list grants on a scope and in it')
    .argument('[scope]', 'everything when it is left out', '*')
    .option('--principal <principal>', 'only of this one')
    .action(async (scope: string, options: ClientOptions & { principal?: string }) => {
      const { principal = '', output } = options;
      await withClient(options, async (client) => {
        const rows: string[][] = [];
        for await (const grant of client.access.grants({ scope, principal })) {
          if (output === 'json') await printJson(grant);
          else rows.push(grantRow(grant));
        }
        if (output === 'table') {
          await printLine(table(['PRINCIPAL', 'SCOPE', 'ROLES', 'SINCE'], rows));
        }
      });
    });
}

function remove(): Command {
  return withClientOptions(new Command('remove'))
    .description('take roles away; all of them when none is named')
    .argument('<principal>')
    .argument('<scope>')
    .argument('[roles...]', roleNames.join(', '))
    .action(async (principal: string, scope: string, roles: string[], options: ClientOptions) => {
      const unwanted = roles.map(roleOf);
      await withClient(options, async (client) => {
        const changed = await client.access.revoke(principal, scope, unwanted);
        if (options.output === 'json') return printJson({ principal, scope, changed });
        const what = roles.length === 0 ? 'every role' : roles.join(', ');
        await printLine(
          changed ? `took ${what} on ${scope} from ${principal}` : 'nothing to take away',
        );
      });
    });
}

function check(): Command {
  return withClientOptions(new Command('check'))
    .description('say whether a principal may do something, and why')
    .argument('<principal>')
    .argument('<permission>', roleNames.join(', '))
    .argument('<scope>')
    .action(async (principal: string, text: string, scope: string, options: ClientOptions) => {
      const permission = roleOf(text);
      await withClient(options, async (client) => {
        const { allowed, why } = await client.access.check(principal, permission, scope);
        if (options.output === 'json') await printJson({ allowed, why });
        else await printLine(`${allowed ? 'yes' : 'no'}: ${why}`);
      });
    });
}

function roleOf(text: string): Role {
  const role = roleNames.find((name) => name === text);
  if (role !== undefined) return role;
  throw new UsageError(`there is no role ${text}; there are ${roleNames.join(', ')}`);
}

function grantRow({ principal, scope, roles, createdAtMs }: Grant): string[] {
  return [principal, scope, roles.join(', '), isoTime(createdAtMs)];
}
