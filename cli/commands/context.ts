// millrace context: brokers under a name, so that no verb needs to be told how to reach them.
import { resolve } from 'node:path';
import { Command } from 'commander';
import { given, tlsOf, withConnectionFlags, type ConnectionFlags } from '../connection-options.ts';
import {
  checkContextName,
  contextOf,
  contextsPath,
  readContexts,
  writeContexts,
  type Context,
  type Contexts,
} from '../contexts.ts';
import { UsageError } from '../exit.ts';
import { printJson, printLine, table } from '../output.ts';

const head = ['', 'NAME', 'SERVER', 'TLS', 'CERTIFICATE', 'TOKEN'];

export function contextCommand(): Command {
  return new Command('context')
    .description('brokers under a name: how each is reached, and which is used')
    .addCommand(addCommand())
    .addCommand(
      new Command('use')
        .argument('<name>')
        .description('use it from now on')
        .action((name: string) => change((contexts) => use(contexts, name))),
    )
    .addCommand(listCommand())
    .addCommand(showCommand())
    .addCommand(
      new Command('remove')
        .argument('<name>')
        .description('forget it; files that it names stay')
        .action((name: string) => change((contexts) => remove(contexts, name))),
    );
}

function addCommand(): Command {
  return withConnectionFlags(new Command('add').argument('<name>'), 'adds')
    .description('add it, or replace the one of that name; the first one is used at once')
    .action(async (name: string, flags: ConnectionFlags) => {
      checkContextName(name);
      const context = given(flags);
      if (context.server === undefined) throw new UsageError('a context needs --server');
      if ((context.tlsCert === undefined) !== (context.tlsKey === undefined)) {
        throw new UsageError('--tls-cert and --tls-key go together');
      }
      await change(({ current = name, contexts }) => ({
        current,
        contexts: { ...contexts, [name]: withAbsolutePaths(context) },
      }));
    });
}

function listCommand(): Command {
  return new Command('list').description('list them; * is the one in use').action(async () => {
    const { current, contexts } = await readContexts(contextsPath(process.env));
    const rows = Object.entries(contexts).map(([name, context]) => [
      name === current ? '*' : '',
      name,
      context.server ?? '-',
      tlsOf(context) === undefined ? 'no' : 'yes',
      context.tlsCert ?? '-',
      context.tokenFile ?? '-',
    ]);
    await printLine(table(head, rows));
  });
}

function showCommand(): Command {
  return new Command('show')
    .argument('[name]', 'the one in use when none is named')
    .description('show one as JSON')
    .action(async (named: string | undefined) => {
      const contexts = await readContexts(contextsPath(process.env));
      const name = named ?? contexts.current;
      if (name === undefined) throw new UsageError('no context is in use; "context add" makes one');
      await printJson({ name, ...contextOf(contexts, name) });
    });
}

async function change(next: (contexts: Contexts) => Contexts): Promise<void> {
  const path = contextsPath(process.env);
  await writeContexts(path, next(await readContexts(path)));
}

function use(contexts: Contexts, name: string): Contexts {
  contextOf(contexts, name);
  return { ...contexts, current: name };
}

function remove({ current, contexts }: Contexts, name: string): Contexts {
  contextOf({ contexts }, name);
  const left = Object.fromEntries(Object.entries(contexts).filter(([other]) => other !== name));
  return { ...(current !== undefined && current !== name && { current }), contexts: left };
}

/** A context is used from any directory. */
function withAbsolutePaths(context: Context): Context {
  const { tlsCa, tlsCert, tlsKey, tokenFile } = context;
  return {
    ...context,
    ...(tlsCa !== undefined && { tlsCa: resolve(tlsCa) }),
    ...(tlsCert !== undefined && { tlsCert: resolve(tlsCert) }),
    ...(tlsKey !== undefined && { tlsKey: resolve(tlsKey) }),
    ...(tokenFile !== undefined && { tokenFile: resolve(tokenFile) }),
  };
}
