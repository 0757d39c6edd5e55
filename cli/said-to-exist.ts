// What `create --if-not-exists` says of what is there already: that it is, and how it differs from the request.
import { MillraceError } from '../client/src/index.ts';
import { printJson, printLine } from './output.ts';

interface Planned {
  readonly created: boolean;
  readonly changes: readonly string[];
}

/** False: it does not exist. `plan` says what would be changed, and changes nothing. */
export async function saidToExist(
  what: string,
  { output }: { readonly output: 'json' | 'table' },
  plan: () => Promise<Planned>,
): Promise<boolean> {
  const planned = await plan().catch((error: unknown) => {
    const isMissing = error instanceof MillraceError && error.reason === 'SUBSCRIPTION_NOT_FOUND';
    if (isMissing) return undefined;
    throw error;
  });
  if (planned === undefined || planned.created) return false;
  const { changes } = planned;
  if (output === 'json') await printJson({ created: false, differs: changes });
  else {
    await printLine(`${what} is there already; nothing was changed`);
    for (const change of changes) await printLine(`differs from what was asked for: ${change}`);
  }
  return true;
}
