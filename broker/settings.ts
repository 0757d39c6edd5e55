// Settings of a broker: one table, and the only reader of the environment. docs/settings.md is printed from the table.
//
// Invariants:
// - A flag wins over its variable, a variable over the default.
// - Unknown `MILLRACE_*` variables and flags, and values outside what is allowed, are refused at start with the name,
//   the value and what is allowed: a typo never runs with a default.
import { policyDefaults } from './catalog/policy.ts';
import { BrokerError } from './core/errors.ts';
import { limits } from './core/limits.ts';
import { quoted } from './core/quoted.ts';
import { formatHostPort, isLoopback } from './host-port.ts';
import {
  address,
  bytes,
  choice,
  envPrefix,
  file,
  flag,
  GiB,
  integer,
  MiB,
  optionalAddress,
  path,
  principals,
  storeUrl,
  type Setting,
  type SettingRow,
} from './setting-kinds.ts';

export type { SettingRow } from './setting-kinds.ts';

/** Each shard is a journal with an fsync of its own and up to a commit, a page and caches of memory. */
const shardsMax = 16;

/** Keys are the properties of `Settings` and of the flag values. */
const table = {
  listen: address('127.0.0.1:6700', {
    name: 'listen',
    description: 'Where gRPC is served. Port 0 takes a free one.',
  }),
  httpListen: address('127.0.0.1:6780', {
    name: 'http-listen',
    description: 'Where health and metrics are served over HTTP. Port 0 takes a free one.',
  }),
  advertiseAddress: optionalAddress('the real listen address', {
    name: 'advertise-address',
    description: 'What clients are told to connect to, when it is not the listen address.',
  }),
  allowUnauthenticated: flag({
    name: 'allow-unauthenticated',
    description:
      'Needed to listen on an address that is not loopback while nobody is asked who they are: whoever reaches it may do everything.',
  }),
  authConfig: file('none', {
    name: 'auth-config',
    description:
      'Who is let in: a JSON file with API tokens, issuers of JWT and Kubernetes. With it or with --operators every call needs a credential.',
  }),
  operators: principals({
    name: 'operators',
    description: 'Who may do everything without a grant.',
  }),
  auditLog: file('`audit.log` in the data directory', {
    name: 'audit-log',
    description:
      'Where denied and administrative calls are written, when every call needs a credential.',
  }),
  tlsCert: file('none', {
    name: 'tls-cert',
    description:
      'Certificate of the gRPC listener with those between it and its CA, in PEM. Without it there is no TLS.',
  }),
  tlsKey: file('none', {
    name: 'tls-key',
    description: 'Its key, in PEM, without a passphrase.',
  }),
  tlsClientCa: file('none', {
    name: 'tls-client-ca',
    description: 'CAs whose clients are trusted. Without it no client is asked for a certificate.',
  }),
  tlsClientCertificates: choice(['required', 'optional', 'none'], 'required', {
    name: 'tls-client-certificates',
    description:
      'Whether clients show a certificate, when there is a CA for it. One that is shown must always be good.',
  }),
  tlsReloadIntervalMs: integer(10_000, 100, 3_600_000, {
    name: 'tls-reload-interval-ms',
    description: 'How often the three files are looked at; new connections get what is new.',
  }),
  connectionsMax: integer(limits.connectionsMax, 100, 1_000_000, {
    name: 'connections-max',
    description: 'Connections at the same time; more are refused.',
  }),
  connectionsPerAddressMax: integer(limits.connectionsPerAddressMax, 1, 1_000_000, {
    name: 'connections-per-address-max',
    description:
      'Connections of one IPv4 address or IPv6 /64. Lower it where clients reach the broker with addresses of their own.',
  }),
  connectionIdleMs: integer(limits.connectionIdleMs, 1_000, 86_400_000, {
    name: 'connection-idle-ms',
    description:
      'A connection without a call for so long is told to go; clients come back with the next.',
  }),
  connectionAgeMs: integer(limits.connectionAgeMs, 1_000, 30 * 86_400_000 - 1, {
    name: 'connection-age-ms',
    description:
      'A connection so old, give or take a tenth, is told to go; streams have five minutes more. Clients resume.',
  }),
  keepaliveIntervalMs: integer(limits.keepaliveIntervalMs, 1_000, 3_600_000, {
    name: 'keepalive-interval-ms',
    description: 'How often a client is pinged; one that does not answer within 10 s is cut off.',
  }),
  dataDir: path('./data', {
    name: 'data-dir',
    description: 'Where the broker keeps everything. One broker per directory.',
  }),
  shards: integer(1, 1, shardsMax, {
    name: 'shards',
    description: 'Data shards that take new partitions. One is right for one disk.',
  }),
  generationBytes: bytes(limits.generationBytes, MiB, 4 * GiB, {
    name: 'generation-bytes',
    description:
      "Size at which a file of the journal is sealed. Space is freed a file at a time; at least two files' worth of disk is needed.",
  }),
  tailCacheBytes: bytes(limits.tailCacheBytes, MiB, 16 * GiB, {
    name: 'tail-cache-bytes',
    description: 'Memory per shard for what was just published.',
  }),
  publishPendingBytes: bytes(limits.publishPendingBytesMax, limits.publishWindowBytes, GiB, {
    name: 'publish-pending-bytes',
    description:
      'Memory for what is published and not yet durable; publishers are held back at it.',
  }),
  objectStore: storeUrl('the directory `objects` in the data directory', {
    name: 'object-store',
    description:
      'Where sealed records go: file:///path, or s3://bucket/prefix?endpoint=http://host:port&region=name with credentials from the usual AWS variables, files or a web-identity role.',
  }),
  hotBytes: bytes(0, 0, 1024 * GiB, {
    name: 'hot-bytes',
    description:
      'Disk for records that the object store has too, over all shards: above it the oldest leave the disk. 0: half of the volume.',
  }),
  sealAgeMs: integer(600_000, 1_000, 86_400_000, {
    name: 'seal-age-ms',
    description:
      'A file of the journal is sealed, so that it can be offloaded, when its oldest record is so old.',
  }),
  offloadAgeMs: integer(3_600_000, 1_000, 30 * 86_400_000, {
    name: 'offload-age-ms',
    description:
      'A partition with less than 8 MiB to offload waits this long to be joined with others of its tenant.',
  }),
  offloadBytesPerSecond: bytes(128 * MiB, 0, 16 * GiB, {
    name: 'offload-bytes-per-second',
    description: 'Offload goes no faster than this, per shard. 0: no limit.',
  }),
  coldCacheBytes: bytes(limits.coldCacheBytes, 8 * MiB, 16 * GiB, {
    name: 'cold-cache-bytes',
    description: 'Memory for records that were read from the object store.',
  }),
  checkpointUploadIntervalMs: integer(30_000, 100, 3_600_000, {
    name: 'checkpoint-upload-interval-ms',
    description:
      'How often what has changed is uploaded, so that a broker can be made from the object store alone.',
  }),
  garbageIntervalMs: integer(600_000, 100, 86_400_000, {
    name: 'garbage-interval-ms',
    description: 'How often objects that nothing refers to any more are looked for.',
  }),
  garbageGraceMs: integer(600_000, 0, 30 * 86_400_000, {
    name: 'garbage-grace-ms',
    description: 'How long such an object stays, for readers that are slow.',
  }),
  retentionAgeMs: integer(policyDefaults.retention.ageMs, 0, limits.farFutureMs, {
    name: 'retention-age-ms',
    description:
      'How long acked records are kept where neither topic, namespace nor tenant says. 0: not at all.',
  }),
  backlogBytes: bytes(policyDefaults.backlogQuota.bytes, 0, 1024 * GiB, {
    name: 'backlog-bytes',
    description:
      'How much of a partition may wait for a subscription where nobody else says. 0: no limit.',
  }),
  batchBytesMax: bytes(limits.batchBytesDefault, limits.batchBytesMin, limits.batchBytesMax, {
    name: 'batch-bytes-max',
    description: 'Largest batch where neither topic, namespace nor tenant says.',
  }),
  retentionIntervalMs: integer(10_000, 10, 3_600_000, {
    name: 'retention-interval-ms',
    description: 'How often expired records are looked for.',
  }),
  shutdownGraceMs: integer(10_000, 0, 600_000, {
    name: 'shutdown-grace-ms',
    description: 'Time for clients to finish after SIGTERM, before their streams are cut.',
  }),
  logLevel: choice(['info', 'warn', 'error'], 'info', {
    name: 'log-level',
    description: 'The least important events that are logged.',
  }),
  logFormat: choice(['auto', 'json', 'text'], 'auto', {
    name: 'log-format',
    description: 'How events are logged. auto: text in a terminal, else json.',
  }),
} as const satisfies Record<string, Setting<unknown>>;

type Table = typeof table;
type Key = keyof Table;

export type Settings = {
  readonly [K in Key]: Table[K] extends Setting<infer T> ? T : never;
} & {
  /** `AWS_*` variables: credentials of the object store. Never logged. */
  readonly storeVariables: Environment;
};

/** Flags by their camel-case names, as commander answers them; undefined: not given. */
export type FlagValues = Readonly<Record<string, string | boolean | undefined>>;

export type Environment = Readonly<Record<string, string | undefined>>;

/** Variables of the command line, and of the tests: where a shell has both, a broker shall start. */
const foreignVariables = new Set([
  'MILLRACE_SERVER',
  'MILLRACE_TLS',
  'MILLRACE_TLS_CA',
  'MILLRACE_TLS_SERVER_NAME',
  'MILLRACE_CLIENT_CERT',
  'MILLRACE_CLIENT_KEY',
  'MILLRACE_TOKEN',
  'MILLRACE_TOKEN_FILE',
  'MILLRACE_CONTEXT',
  'MILLRACE_CONFIG',
  'MILLRACE_CACHE',
]);

/** The table in its order. */
export const settingRows: readonly SettingRow[] = Object.values(table);

/** Throws SETTING_INVALID. */
export function readSettings(flags: FlagValues, env: Environment): Settings {
  refuseUnknown(flags, env);
  const read = <T>(setting: Setting<T>): T => readSetting(setting, flags, env);
  const settings: Settings = {
    listen: read(table.listen),
    httpListen: read(table.httpListen),
    advertiseAddress: read(table.advertiseAddress),
    allowUnauthenticated: read(table.allowUnauthenticated),
    authConfig: read(table.authConfig),
    operators: read(table.operators),
    auditLog: read(table.auditLog),
    tlsCert: read(table.tlsCert),
    tlsKey: read(table.tlsKey),
    tlsClientCa: read(table.tlsClientCa),
    tlsClientCertificates: read(table.tlsClientCertificates),
    tlsReloadIntervalMs: read(table.tlsReloadIntervalMs),
    connectionsMax: read(table.connectionsMax),
    connectionsPerAddressMax: read(table.connectionsPerAddressMax),
    connectionIdleMs: read(table.connectionIdleMs),
    connectionAgeMs: read(table.connectionAgeMs),
    keepaliveIntervalMs: read(table.keepaliveIntervalMs),
    dataDir: read(table.dataDir),
    shards: read(table.shards),
    generationBytes: read(table.generationBytes),
    tailCacheBytes: read(table.tailCacheBytes),
    publishPendingBytes: read(table.publishPendingBytes),
    objectStore: read(table.objectStore),
    hotBytes: read(table.hotBytes),
    sealAgeMs: read(table.sealAgeMs),
    offloadAgeMs: read(table.offloadAgeMs),
    offloadBytesPerSecond: read(table.offloadBytesPerSecond),
    coldCacheBytes: read(table.coldCacheBytes),
    checkpointUploadIntervalMs: read(table.checkpointUploadIntervalMs),
    garbageIntervalMs: read(table.garbageIntervalMs),
    garbageGraceMs: read(table.garbageGraceMs),
    retentionAgeMs: read(table.retentionAgeMs),
    backlogBytes: read(table.backlogBytes),
    batchBytesMax: read(table.batchBytesMax),
    retentionIntervalMs: read(table.retentionIntervalMs),
    shutdownGraceMs: read(table.shutdownGraceMs),
    logLevel: read(table.logLevel),
    logFormat: read(table.logFormat),
    storeVariables: storeVariables(env),
  };
  checkTogether(settings);
  return settings;
}

function storeVariables(env: Environment): Environment {
  return Object.fromEntries(Object.entries(env).filter(([name]) => name.startsWith('AWS_')));
}

function readSetting<T>(setting: Setting<T>, flags: FlagValues, env: Environment): T {
  const flagValue = flags[setting.key];
  const given = flagValue ?? env[setting.env];
  if (given === undefined) return setting.value;
  const value = setting.parse(String(given));
  if (value !== undefined) return value;
  const source = flagValue === undefined ? setting.env : setting.flag;
  throw settingInvalid(source, String(given), `allowed is ${setting.allowed}`);
}

function refuseUnknown(flags: FlagValues, env: Environment): void {
  const rows = Object.values(table);
  for (const [key, value] of Object.entries(flags)) {
    if (value === undefined || Object.hasOwn(table, key)) continue;
    throw settingInvalid(key, String(value), `no such flag; known are ${namesOf(rows, 'flag')}`);
  }
  const known = new Set(rows.map((row) => row.env));
  for (const name of Object.keys(env)) {
    if (!name.startsWith(envPrefix) || known.has(name) || foreignVariables.has(name)) continue;
    if (env[name] === undefined) continue;
    throw settingInvalid(name, env[name], `no such variable; known are ${namesOf(rows, 'env')}`);
  }
}

/** Whether every call needs a credential. */
export function asksWhoYouAre({ authConfig, operators }: Settings): boolean {
  return authConfig !== undefined || operators.length > 0;
}

function checkTogether(settings: Settings): void {
  checkTls(settings);
  for (const key of ['listen', 'httpListen'] as const) {
    if (settings.allowUnauthenticated || asksWhoYouAre(settings)) continue;
    if (isLoopback(settings[key].host)) continue;
    throw settingInvalid(
      table[key].flag,
      formatHostPort(settings[key]),
      `an address that is not loopback needs ${table.authConfig.flag} or ${table.operators.flag}, so that callers are ` +
        `asked who they are, or ${table.allowUnauthenticated.flag}`,
    );
  }
  const { listen, httpListen } = settings;
  if (listen.port !== 0 && formatHostPort(listen) === formatHostPort(httpListen)) {
    throw settingInvalid(
      table.httpListen.flag,
      formatHostPort(httpListen),
      `must differ from ${table.listen.flag}`,
    );
  }
}

/** A certificate needs its key, a CA for clients needs a certificate: half of TLS would be none. */
function checkTls({ tlsCert, tlsKey, tlsClientCa }: Settings): void {
  if (tlsCert === undefined && tlsKey === undefined && tlsClientCa === undefined) return;
  for (const [row, value] of [
    [table.tlsCert, tlsCert],
    [table.tlsKey, tlsKey],
  ] as const) {
    if (value === undefined)
      throw settingInvalid(row.flag, '', 'TLS needs a certificate and its key');
  }
}

function namesOf(rows: readonly SettingRow[], field: 'flag' | 'env'): string {
  return rows.map((row) => row[field]).join(', ');
}

function settingInvalid(name: string, value: string, rule: string): BrokerError {
  return new BrokerError('SETTING_INVALID', `setting ${name} has value ${quoted(value)}: ${rule}`, {
    metadata: { setting: name, value: quoted(value) },
  });
}
