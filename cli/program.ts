// The commands of `millrace`.
import { Command } from 'commander';
import { auditCommand } from './commands/audit.ts';
import { grantCommand } from './commands/grant.ts';
import { tokenCommand } from './commands/token.ts';
import { whoAmICommand } from './commands/whoami.ts';
import { clusterCommand } from './commands/cluster.ts';
import { contextCommand } from './commands/context.ts';
import { consumeCommand } from './commands/consume.ts';
import { dlqCommand } from './commands/dlq.ts';
import { fsckCommand } from './commands/fsck.ts';
import { namespaceCommand } from './commands/namespace.ts';
import { publishCommand } from './commands/publish.ts';
import { readCommand } from './commands/read.ts';
import { recoverCommand } from './commands/recover.ts';
import { startCommand } from './commands/start.ts';
import { subscriptionCommand } from './commands/subscription.ts';
import { tenantCommand } from './commands/tenant.ts';
import { topicCommand } from './commands/topic.ts';
import { benchCommand } from './commands/bench.ts';
import { exitCodes } from './exit.ts';

export function program(): Command {
  return new Command('millrace')
    .description(
      'a message broker: one topic, replayed by offset or worked through by acknowledgement',
    )
    .version('0.1.0')
    .showHelpAfterError('(millrace help COMMAND says more)')
    .addHelpText('after', `\n${exitCodesHelp()}`)
    .exitOverride()
    .addCommand(startCommand())
    .addCommand(tenantCommand())
    .addCommand(namespaceCommand())
    .addCommand(topicCommand())
    .addCommand(publishCommand())
    .addCommand(readCommand())
    .addCommand(consumeCommand())
    .addCommand(subscriptionCommand())
    .addCommand(dlqCommand())
    .addCommand(clusterCommand())
    .addCommand(grantCommand())
    .addCommand(tokenCommand())
    .addCommand(whoAmICommand())
    .addCommand(auditCommand())
    .addCommand(contextCommand())
    .addCommand(fsckCommand())
    .addCommand(recoverCommand())
    .addCommand(benchCommand());
}

function exitCodesHelp(): string {
  const lines = Object.entries(exitCodes).map(([meaning, code]) => `  ${code}  ${meaning}`);
  return ['Exit codes:', '  0  success', ...lines].join('\n');
}
