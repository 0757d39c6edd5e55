// `millrace start` that kills itself: FAIL_POINT=name:n ends it with SIGKILL the n-th time it passes that point.
import { parseArgs } from 'node:util';
import { startBroker } from '../../broker/main.ts';
import { readSettings } from '../../broker/settings.ts';

const { tokens } = parseArgs({ strict: false, tokens: true });
const flags: Record<string, string> = {};
for (const [i, token] of tokens.entries()) {
  const next = tokens[i + 1];
  if (token.kind !== 'option' || next?.kind !== 'positional') continue;
  const key = token.name.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());
  flags[key] = next.value;
}

const [point = '', count = '1'] = (process.env['FAIL_POINT'] ?? '').split(':');
let left = Number(count);

const broker = await startBroker(
  readSettings(flags, {}),
  (error) => {
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  },
  {
    manifestPageRows: 4,
    failPoint(name) {
      if (name === point && --left === 0) process.kill(process.pid, 'SIGKILL');
    },
  },
);
process.stdout.write(`millrace ready grpc=${broker.grpcAddress} http=${broker.httpAddress}\n`);
