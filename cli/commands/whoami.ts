// millrace whoami
import { Command } from 'commander';
import { withClient, withClientOptions, type ClientOptions } from '../options.ts';
import { isoTime, printJson, printLine } from '../output.ts';

export function whoAmICommand(): Command {
  return withClientOptions(new Command('whoami'))
    .description('show who the broker takes you for, and what was granted to you')
    .action(async (options: ClientOptions) => {
      await withClient(options, async (client) => {
        const caller = await client.access.whoAmI();
        if (options.output === 'json') return printJson(caller);
        await printLine(caller.principal);
        if (caller.expiresAtMs > 0) await printLine(`until ${isoTime(caller.expiresAtMs)}`);
        if (caller.operates) await printLine('operates: may do everything');
        for (const { roles, scope } of caller.grants) {
          await printLine(`${roles.join(', ')} on ${scope}`);
        }
      });
    });
}
