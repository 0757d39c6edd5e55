// The operator's settings: flags, each with a variable, which wins over the default and loses to the flag.
import { Command, InvalidArgumentError, Option } from 'commander';
import { hostname } from 'node:os';

export interface OperatorSettings {
  /** host:port of the broker's gRPC listener. */
  readonly broker: string;
  readonly tls?: boolean;
  /** Paths of PEM files; any of them means TLS. */
  readonly tlsCa?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsServerName?: string;
  readonly tokenFile?: string;
  readonly tokenWithoutTls?: boolean;
  /** Of the lease. */
  readonly namespace: string;
  readonly lease: string;
  readonly identity: string;
  /** host:port for health and metrics. */
  readonly httpListen: string;
  /** Undefined: the pod's service account, else as kubectl finds it. */
  readonly kubeconfig?: string;
  /** ms. */
  readonly driftInterval: number;
  /** ms. */
  readonly finalizerTimeout: number;
  /** ms. */
  readonly brokerTimeout: number;
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error';
}

/** Reads the arguments; tells what is wrong, or the help, and ends the process. */
export function readSettings(argv: readonly string[]): OperatorSettings {
  return operatorCommand().parse(argv, { from: 'user' }).opts<OperatorSettings>();
}

function operatorCommand(): Command {
  const option = (flags: string, description: string, variable: string): Option =>
    new Option(flags, description).env(`MILLRACE_OPERATOR_${variable}`);
  return new Command('millrace-operator')
    .description('makes a Millrace broker have what Tenant and Topic objects describe')
    .addOption(option('--broker <host:port>', 'the broker', 'BROKER').default('127.0.0.1:6700'))
    .addOption(option('--tls', 'talk TLS to the broker; the flags below say it too', 'TLS'))
    .addOption(option('--tls-ca <file>', 'trust brokers of these CAs', 'TLS_CA'))
    .addOption(option('--tls-cert <file>', 'the certificate to show; with --tls-key', 'TLS_CERT'))
    .addOption(option('--tls-key <file>', 'its key', 'TLS_KEY'))
    .addOption(
      option('--tls-server-name <host>', "that the broker's certificate is for", 'TLS_SERVER_NAME'),
    )
    .addOption(
      option(
        '--token-file <file>',
        'a token that says who it is; read for each call',
        'TOKEN_FILE',
      ),
    )
    .addOption(
      option(
        '--token-without-tls',
        'send it to another machine in plain text, where whoever listens takes it',
        'TOKEN_WITHOUT_TLS',
      ),
    )
    .addOption(option('--namespace <name>', 'of the lease', 'NAMESPACE').default('millrace-system'))
    .addOption(
      option('--lease <name>', 'that the leader holds', 'LEASE').default('millrace-operator'),
    )
    .addOption(
      option('--identity <name>', 'of this process, alone among all', 'IDENTITY').default(
        hostname(),
      ),
    )
    .addOption(
      option('--http-listen <host:port>', 'health and metrics', 'HTTP_LISTEN').default(
        '127.0.0.1:6790',
      ),
    )
    .addOption(option('--kubeconfig <file>', "default: the pod's service account", 'KUBECONFIG'))
    .addOption(
      option('--drift-interval <duration>', 'how often each object is looked at', 'DRIFT_INTERVAL')
        .argParser(parseDuration)
        .default(300_000, '5m'),
    )
    .addOption(
      option(
        '--finalizer-timeout <duration>',
        'how long a broker that is away may hold what is to be deleted',
        'FINALIZER_TIMEOUT',
      )
        .argParser(parseDuration)
        .default(600_000, '10m'),
    )
    .addOption(
      option('--broker-timeout <duration>', 'of a call to the broker', 'BROKER_TIMEOUT')
        .argParser(parseDuration)
        .default(10_000, '10s'),
    )
    .addOption(
      option('--log-level <level>', 'of the lines on stderr', 'LOG_LEVEL')
        .choices(['debug', 'info', 'warn', 'error'])
        .default('info'),
    );
}

const unitsMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

/** `250ms`, `30s`, `15m`, `12h` in milliseconds; at least 1. */
function parseDuration(text: string): number {
  const [, amount = '', unit = ''] = /^(\d{1,9})(ms|s|m|h)$/.exec(text) ?? [];
  const ms = Number(amount) * (unitsMs[unit] ?? 0);
  if (ms > 0) return ms;
  throw new InvalidArgumentError('It must be a duration such as 250ms, 30s, 15m or 12h.');
}
