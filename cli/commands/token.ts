// millrace token create|list|revoke
import { Command } from 'commander';
import { parseDurationMs, withClient, withClientOptions, type ClientOptions } from '../options.ts';
import { isoTime, printJson, printLine, table } from '../output.ts';

type TenantOptions = ClientOptions & { readonly tenant?: string };

export function tokenCommand(): Command {
  return new Command('token')
    .description('make, list and revoke API tokens')
    .addCommand(create())
    .addCommand(list())
    .addCommand(revoke());
}

function create(): Command {
  return withTenant(new Command('create'))
    .description('make an API token and print its secret, which is shown this once')
    .argument('<name>')
    .option('--expires-after <duration>', 'such as 90d; without it it does not', parseDurationMs)
    .action(async (name: string, options: TenantOptions & { expiresAfter?: number }) => {
      const { tenant = '', expiresAfter = 0, output } = options;
      await withClient(options, async (client) => {
        const wish = { tenant, expiresAfterMs: expiresAfter };
        const token = await client.access.createToken(name, wish);
        // The secret alone on stdout, so that it can go into a file.
        if (output === 'json') return printJson(token);
        await printLine(token.secret);
        process.stderr.write(
          `${token.principal} may do nothing yet: millrace grant add ${token.principal} SCOPE ROLE\n`,
        );
      });
    });
}

function list(): Command {
  return withTenant(new Command('list'))
    .description('list API tokens, without their secrets')
    .action(async (options: TenantOptions) => {
      const { tenant = '', output } = options;
      await withClient(options, async (client) => {
        const rows: string[][] = [];
        for await (const token of client.access.tokens({ tenant })) {
          if (output === 'json') await printJson(token);
          else rows.push([token.principal, isoTime(token.createdAtMs), isoTime(token.expiresAtMs)]);
        }
        if (output === 'table') await printLine(table(['TOKEN', 'SINCE', 'EXPIRES'], rows));
      });
    });
}

function revoke(): Command {
  return withTenant(new Command('revoke'))
    .description('end an API token, its streams and its grants')
    .argument('<name>')
    .action(async (name: string, options: TenantOptions) => {
      const { tenant = '', output } = options;
      await withClient(options, async (client) => {
        await client.access.revokeToken(name, { tenant });
        if (output === 'json') await printJson({ revoked: name, tenant });
        else await printLine(`revoked token ${name}`);
      });
    });
}

function withTenant(command: Command): Command {
  return withClientOptions(command).option('--tenant <tenant>', 'of this tenant');
}
