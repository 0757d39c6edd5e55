// millrace start: a broker with embedded defaults, until SIGTERM or Ctrl-C.
import { setFlagsFromString } from 'node:v8';
import { Command } from 'commander';
import { settingRows, readSettings, type FlagValues } from '../../broker/settings.ts';
import { exitCodes } from '../exit.ts';

/** One thread runs LMDB's commit through its fsync, one prefetches; the rest is for file and zlib calls. */
const threadPoolSize = 8;

export function startCommand(): Command {
  const command = new Command('start').description(
    'start a broker; every flag can also be given as its MILLRACE_ variable',
  );
  for (const { flag, kind, description, default: value, env } of settingRows) {
    const flags = kind === 'flag' ? flag : `${flag} <${kind}>`;
    command.option(flags, `${description} (default ${value}; ${env})`);
  }
  return command.action(start);
}

async function start(flags: FlagValues): Promise<void> {
  const settings = readSettings(flags, process.env);
  tuneRuntime();
  const { startBroker } = await import('../../broker/main.ts');
  const broker = await startBroker(settings, (error) => {
    process.stderr.write(`millrace: ${error.message} [${error.reason}]\n`);
    process.exit(exitCodes.corrupt);
  });
  process.on('uncaughtException', (error) => {
    broker.log.error('a bug ended the broker', { cause: error.stack ?? error.message });
    process.exit(exitCodes.internal);
  });
  process.stdout.write(`millrace ready grpc=${broker.grpcAddress} http=${broker.httpAddress}\n`);
  await stopRequested();
  await broker.close();
  // What is left, such as a client's half-open connection, must not keep the process alive.
  process.exit(0);
}

/** Resolves at the first SIGTERM or SIGINT; a second one ends the process at once. */
function stopRequested(): Promise<void> {
  return new Promise((resolve) => {
    let isStopping = false;
    const stop = (): void => {
      if (isStopping) process.exit(130);
      isStopping = true;
      resolve();
    };
    process.on('SIGTERM', stop);
    process.on('SIGINT', stop);
    // A terminal that goes away is a request to stop, too.
    process.on('SIGHUP', stop);
  });
}

/**
 * Before anything uses the thread pool or much memory. V8 by default collects garbage for each 64 MB of buffers that
 * came and went, also while nothing else is to be collected: measured, a quarter of a publishing broker's time.
 */
function tuneRuntime(): void {
  process.env['UV_THREADPOOL_SIZE'] ??= String(threadPoolSize);
  setFlagsFromString('--external-memory-accounted-in-global-limit');
  setFlagsFromString('--external-memory-max-growing-factor=2');
}
