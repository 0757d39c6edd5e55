// millrace audit check FILE
import { Command } from 'commander';
import { checkAuditLog } from '../../broker/audit-check.ts';
import { exitCodes, UsageError } from '../exit.ts';
import { printLine } from '../output.ts';

export function auditCommand(): Command {
  return new Command('audit').description('look after the audit log').addCommand(
    new Command('check')
      .description('check that no line of it was changed or taken out')
      .argument('<file>', 'the newest one, such as data/audit.log; older ones lie beside it')
      .action(async (path: string) => {
        const { lines, files, broken } = await checkAuditLog(path);
        if (files === 0) throw new UsageError(`there is no audit log at ${path}`);
        if (broken === undefined) {
          await printLine(`${lines} lines in ${files} files follow one another`);
          return;
        }
        await printLine(`line ${broken.line} of ${broken.file} does not follow the one before it`);
        process.exitCode = exitCodes.corrupt;
      }),
  );
}
