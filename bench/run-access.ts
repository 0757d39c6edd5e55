// Measures what access costs: the same workloads against a broker that asks nobody, one that asks who callers are,
// checks their grants and counts their quotas, and one that does so over TLS. In turns, in both directions, so that a
// machine whose disk swings from one minute to the next swings for all of them; each share is the median of the rounds'
// own shares. Rates follow the disk; the processor time that the broker takes for a record hardly does, so it is told
// beside them.
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newSecret } from '../broker/access/api-tokens.ts';
import { systemRandom } from '../broker/core/random.ts';
import { connect, type ConnectOptions } from '../client/src/index.ts';
import { accessCosts } from './access-cost.ts';
import { workDone } from './broker-figures.ts';
import { startBroker, stop, type StartedBroker } from './broker-process.ts';
import { conditions } from './machine.ts';
import { runWorkload, workloads } from './run-workload.ts';
import { percentile } from './workload.ts';

const names = ['publish-100b', 'publish-1k', 'unbatched-8x64', 'queue-1k'] as const;
const rounds = 15;
/** Above whatever is reached: counted at each batch, never held back. */
const quota = {
  publishBytesPerSecond: 1e12,
  publishRecordsPerSecond: 1e10,
  deliveryBytesPerSecond: 1e12,
  storedBytes: 1e15,
};

interface Variant {
  readonly name: string;
  readonly broker: StartedBroker;
  readonly reach: ConnectOptions & { readonly server: string };
}

export async function runAccess(options: { readonly seconds: number }): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'millrace-bench-'));
  const variants: Variant[] = [];
  try {
    const asks = await askingFlags(directory);
    variants.push(await startVariant(directory, 'nobody asked', [], {}));
    const { token } = asks;
    variants.push(await startVariant(directory, 'access and quotas', asks.flags, { token }));
    const tls = certificate(directory);
    const over = { token, tls: { ca: tls.certificate } };
    variants.push(
      await startVariant(directory, 'the same over TLS', [...asks.flags, ...tls.flags], over),
    );
    for (const { reach } of variants.slice(1)) await letIn(reach, asks.admin);
    process.stdout.write(
      `${conditions()} ${rounds} rounds in turns, in both directions; medians.\n\n`,
    );
    for (const name of names) process.stdout.write(`${await compare(name, variants, options)}\n`);
    process.stdout.write('\nOn the processor alone:\n');
    for (const { what, microseconds } of accessCosts(quota)) {
      process.stdout.write(`${microseconds.toFixed(2)} µs ${what}\n`);
    }
  } finally {
    for (const { broker } of variants) await stop(broker);
    await rm(directory, { recursive: true, force: true });
  }
}

async function compare(
  name: string,
  variants: readonly Variant[],
  { seconds }: { readonly seconds: number },
): Promise<string> {
  const workload = workloads.find((candidate) => candidate.name === name);
  if (workload === undefined) throw new Error(`there is no workload ${name}`);
  const rates = variants.map((): number[] => []);
  const costs = variants.map((): number[] => []);
  for (let round = 0; round < rounds; round++) {
    const inTurns = [...variants.entries()];
    if (round % 2 === 1) inTurns.reverse();
    for (const [i, { reach, broker }] of inTurns) {
      const before = await workDone(broker.metricsUrl);
      const [rate] = await runWorkload(workload, reach, seconds);
      const after = await workDone(broker.metricsUrl);
      const cpuSeconds = after.cpuSeconds - before.cpuSeconds;
      costs[i]?.push((cpuSeconds / (after.records - before.records)) * 1e6);
      if (rate !== undefined) rates[i]?.push(rate.value);
    }
  }
  const cells = variants.map((variant, i) => {
    const [rate, cost] = [told(rates, i, 'records/s', 0), told(costs, i, 'µs each', 2)];
    return `${variant.name}: ${rate}, ${cost}`;
  });
  return `| ${name} | ${cells.join(' | ')} |`;
}

/** The median, and the median share of the first variant's in the same round. */
function told(
  perVariant: readonly number[][],
  index: number,
  unit: string,
  digits: number,
): string {
  const [base = []] = perVariant;
  const values = perVariant[index] ?? [];
  const shares = values.map((value, round) => value / (base[round] ?? 0));
  // In a copy: it sorts.
  const median = percentile([...values], 0.5);
  const text = `${median.toLocaleString('en', { maximumFractionDigits: digits })} ${unit}`;
  return index === 0 ? text : `${text} (${(percentile(shares, 0.5) * 100).toFixed(0)} %)`;
}

async function startVariant(
  directory: string,
  name: string,
  flags: readonly string[],
  options: ConnectOptions,
): Promise<Variant> {
  const broker = await startBroker(join(directory, name.replaceAll(' ', '-')), flags);
  // By name: an address is in no certificate's name.
  const server = broker.server.replace('127.0.0.1', 'localhost');
  return { name, broker, reach: { ...options, server } };
}

/** Two API tokens: one that operates, and one that has what it is granted. */
async function askingFlags(directory: string) {
  const [admin, token] = [newSecret(systemRandom).secret, newSecret(systemRandom).secret];
  const tokens = { admin, bench: token };
  const apiTokens = Object.keys(tokens).map((name) => ({ name, file: join(directory, name) }));
  for (const [name, secret] of Object.entries(tokens)) {
    await writeFile(join(directory, name), secret, { mode: 0o600 });
  }
  const file = join(directory, 'auth.json');
  await writeFile(file, JSON.stringify({ apiTokens }));
  return { admin, token, flags: ['--auth-config', file, '--operators', 'token:admin'] };
}

async function letIn(reach: ConnectOptions, admin: string): Promise<void> {
  await using client = connect({ ...reach, token: admin });
  await client.tenants.apply('public', { quota });
  await client.access.grant('token:bench', 'public', ['publish', 'consume', 'administer']);
}

function certificate(directory: string) {
  const [file, key] = [join(directory, 'tls.crt'), join(directory, 'tls.key')];
  const args = [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'],
    ...['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost', '-days', '2'],
    ...['-keyout', key, '-out', file],
  ];
  execFileSync('openssl', args, { stdio: 'ignore' });
  return { certificate: file, flags: ['--tls-cert', file, '--tls-key', key] };
}
