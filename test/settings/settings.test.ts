import { readFile } from 'node:fs/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { limits } from '../../broker/core/limits.ts';
import { formatHostPort, isLoopback, parseHostPort } from '../../broker/host-port.ts';
import { readSettings, settingRows } from '../../broker/settings.ts';
import { errorOf, reasonOf } from '../support/reason-of.ts';
import { settingsPage } from '../tools/settings-page.ts';

describe('settings', () => {
  it('are the documented defaults when nothing is given', () => {
    expect(readSettings({}, { PATH: '/bin', millrace_listen: 'not ours' })).toEqual({
      backlogBytes: 0,
      batchBytesMax: 1024 * 1024,
      retentionAgeMs: 7 * 24 * 3600 * 1000,
      listen: { host: '127.0.0.1', port: 6700 },
      httpListen: { host: '127.0.0.1', port: 6780 },
      advertiseAddress: undefined,
      allowUnauthenticated: false,
      authConfig: undefined,
      operators: [],
      auditLog: undefined,
      tlsCert: undefined,
      tlsKey: undefined,
      tlsClientCa: undefined,
      tlsClientCertificates: 'required',
      tlsReloadIntervalMs: 10_000,
      connectionsMax: limits.connectionsMax,
      connectionsPerAddressMax: limits.connectionsPerAddressMax,
      connectionIdleMs: limits.connectionIdleMs,
      connectionAgeMs: limits.connectionAgeMs,
      keepaliveIntervalMs: limits.keepaliveIntervalMs,
      dataDir: './data',
      shards: 1,
      generationBytes: 256 * 1024 * 1024,
      tailCacheBytes: limits.tailCacheBytes,
      publishPendingBytes: limits.publishPendingBytesMax,
      objectStore: undefined,
      hotBytes: 0,
      sealAgeMs: 600_000,
      offloadAgeMs: 3_600_000,
      offloadBytesPerSecond: 128 * 1024 * 1024,
      coldCacheBytes: limits.coldCacheBytes,
      checkpointUploadIntervalMs: 30_000,
      garbageIntervalMs: 600_000,
      garbageGraceMs: 600_000,
      retentionIntervalMs: 10_000,
      shutdownGraceMs: 10_000,
      logLevel: 'info',
      logFormat: 'auto',
      storeVariables: {},
    });
  });

  it('come from the environment, and rather from flags', () => {
    const env = { MILLRACE_LISTEN: '127.0.0.1:1', MILLRACE_DATA_DIR: '/env', MILLRACE_SHARDS: '2' };
    const flags = { listen: '[::1]:0', dataDir: undefined, allowUnauthenticated: true };
    expect(readSettings(flags, env)).toMatchObject({
      listen: { host: '::1', port: 0 },
      dataDir: '/env',
      shards: 2,
      allowUnauthenticated: true,
    });
  });

  it.each([
    ['listen', ''],
    ['listen', '6700'],
    ['listen', ':6700'],
    ['listen', '127.0.0.1:65536'],
    ['listen', '127.0.0.1:-1'],
    ['listen', '127.0.0.1'],
    ['listen', '::1:6700'],
    ['listen', '[127.0.0.1]:6700'],
    ['listen', '256.0.0.1:6700'],
    ['listen', 'http://127.0.0.1:6700'],
    ['httpListen', 'a b:1'],
    ['advertiseAddress', 'broker:0'],
    ['allowUnauthenticated', 'yes'],
    ['dataDir', ''],
    ['shards', '0'],
    ['shards', '17'],
    ['shards', '1.5'],
    ['shards', '0x1'],
    ['generationBytes', '1048575'],
    ['generationBytes', '5G'],
    ['generationBytes', '256MB'],
    ['tailCacheBytes', '-1'],
    ['publishPendingBytes', '7M'],
    ['retentionIntervalMs', '10s'],
    ['shutdownGraceMs', 'Infinity'],
    ['logLevel', 'INFO'],
    ['logFormat', 'toString'],
  ])('refuse %s=%j from a flag and from the environment, by name', (key, value) => {
    const row = settingRows.find(({ flag }) => flag === flagOf(key));
    const byFlag = errorOf(() => readSettings({ [key]: value }, {}));
    expect(byFlag?.reason).toBe('SETTING_INVALID');
    expect(byFlag?.metadata['setting']).toBe(row?.flag);
    expect(byFlag?.message).toContain(row?.allowed);
    const byEnv = errorOf(() => readSettings({}, { [row?.env ?? '']: value }));
    expect(byEnv?.reason).toBe('SETTING_INVALID');
    expect(byEnv?.metadata['setting']).toBe(row?.env);
  });

  it.each([
    ['generationBytes', '1M', 1024 * 1024],
    ['generationBytes', '4G', 4 * 1024 ** 3],
    ['generationBytes', '1048576', 1024 * 1024],
    ['tailCacheBytes', '2048K', 2 * 1024 * 1024],
    ['shards', '16', 16],
    ['shutdownGraceMs', '0', 0],
    ['allowUnauthenticated', 'true', true],
    ['allowUnauthenticated', 'false', false],
    ['advertiseAddress', 'broker-0.svc:6700', { host: 'broker-0.svc', port: 6700 }],
  ] as const)('take %s=%j', (key, text, value) => {
    expect(readSettings({ [key]: text }, {})[key]).toEqual(value);
  });

  it('refuse variables and flags that do not exist, but not those of other programs', () => {
    expect(errorOf(() => readSettings({}, { MILLRACE_LISTN: 'x' }))?.metadata['setting']).toBe(
      'MILLRACE_LISTN',
    );
    expect(reasonOf(() => readSettings({ listn: 'x' }, {}))).toBe('SETTING_INVALID');
    expect(reasonOf(() => readSettings({ constructor: 'x' }, {}))).toBe('SETTING_INVALID');
    const env = { MILLRACE_SERVER: 'h:1', MILLRACE_CLIENT_CERT: 'c', MILLRACE_CACHE: '/c' };
    expect(reasonOf(() => readSettings({}, env))).toBe('nothing');
  });

  it.each(['listen', 'httpListen'])(
    'leave loopback by %s only when that is asked for in so many words',
    (key) => {
      for (const host of ['0.0.0.0', '[::]', '10.1.2.3', 'broker', '[::ffff:10.0.0.1]']) {
        const value = `${host}:1`;
        const error = errorOf(() => readSettings({ [key]: value }, {}));
        expect(error?.metadata['setting']).toBe(flagOf(key));
        expect(error?.message).toContain('--allow-unauthenticated');
        const flags = { [key]: value, allowUnauthenticated: true };
        expect(reasonOf(() => readSettings(flags, {}))).toBe('nothing');
        // Or when callers are asked who they are.
        const asking = { [key]: value, operators: 'token:admin,certificate:ops' };
        expect(reasonOf(() => readSettings(asking, {}))).toBe('nothing');
      }
      for (const host of ['127.0.0.1', '127.255.0.9', '[::1]', 'localhost', 'LOCALHOST']) {
        expect(reasonOf(() => readSettings({ [key]: `${host}:1` }, {}))).toBe('nothing');
      }
    },
  );

  it('refuse one address for both listeners, unless it is any free port', () => {
    const both = (text: string) => () => readSettings({ listen: text, httpListen: text }, {});
    expect(reasonOf(both('127.0.0.1:5'))).toBe('SETTING_INVALID');
    expect(reasonOf(both('127.0.0.1:0'))).toBe('nothing');
  });

  it.each([
    [{ tlsCert: 'c' }, '--tls-key'],
    [{ tlsKey: 'k' }, '--tls-cert'],
    [{ tlsClientCa: 'ca' }, '--tls-cert'],
  ])('refuse half of TLS: %j', (flags, missing) => {
    expect(errorOf(() => readSettings(flags, {}))?.metadata['setting']).toBe(missing);
    const whole = { tlsCert: 'c', tlsKey: 'k', ...flags };
    expect(reasonOf(() => readSettings(whole, {}))).toBe('nothing');
  });

  it('repeat a wrong value escaped', () => {
    const message = errorOf(() => readSettings({}, { MILLRACE_SHARDS: '1\n\u001b[2J' }))?.message;
    expect(message).toMatch(/^[\x20-\x7e]+$/);
  });
});

describe('addresses', () => {
  it('read back as they were written', () => {
    const host = fc.oneof(fc.ipV4(), fc.ipV6(), fc.constantFrom('localhost', 'a.b-c.example'));
    fc.assert(
      fc.property(host, fc.nat(65_535), (name, port) => {
        expect(parseHostPort(formatHostPort({ host: name, port }))).toEqual({ host: name, port });
      }),
    );
  });

  it('are never read from random text as loopback unless they are', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 12 }), (text) => {
        const parsed = parseHostPort(`${text}:1`);
        if (parsed === undefined || !isLoopback(parsed.host)) return;
        expect(parsed.host).toMatch(/^127\.|^localhost$|::1|^[0:]*1$/i);
      }),
    );
  });
});

it('stand in docs/settings.md as they are in the table', async () => {
  const page = await readFile(new URL('../../docs/settings.md', import.meta.url), 'utf8');
  expect(page, 'run: node test/tools/settings-page.ts > docs/settings.md').toBe(settingsPage());
});

function flagOf(key: string): string {
  return `--${key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}
