// The operator's process: settings, connections, signals.
//
// Invariants:
// - SIGTERM and SIGINT let what is under way end, give the lease up, then end with 0.
// - A lost lease ends the process with 1: it starts again and stands by.
import { KubeConfig } from '@kubernetes/client-node';
import { readFile } from 'node:fs/promises';
import { pino } from 'pino';
import { connect, type ConnectOptions } from '../client/src/index.ts';
import { OperatorHttp } from './http.ts';
import { operatorMetrics } from './metrics.ts';
import { Operator } from './operator.ts';
import type { OperatorLog } from './runtime/operator-log.ts';
import { systemTiming } from './runtime/timing.ts';
import { readSettings, type OperatorSettings } from './settings.ts';

async function main(): Promise<number> {
  const settings = readSettings(process.argv.slice(2));
  const log = pinoLog(settings.logLevel);
  const { broker: server, driftInterval, finalizerTimeout } = settings;
  await using broker = connect({
    server,
    name: 'millrace-operator',
    callTimeoutMs: settings.brokerTimeout,
    ...credentialsOf(settings),
  });
  const operator = new Operator({
    config: kubeConfigOf(settings),
    ...{ broker, server, driftMs: driftInterval, finalizerTimeoutMs: finalizerTimeout },
    ...{ namespace: settings.namespace, lease: settings.lease, identity: settings.identity },
    ...{ timing: systemTiming, log },
  });
  const { host, port } = hostPortOf(settings.httpListen);
  const stop = new AbortController();
  const notReady = (): string => (stop.signal.aborted ? 'shutting down' : operator.notReady);
  const http = new OperatorHttp({ host, port, metrics: operatorMetrics(operator), notReady });
  log.info('started', { http: `${host}:${await http.listen()}`, broker: server });
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => stop.abort());
  }
  try {
    await operator.run(stop.signal);
    return 0;
  } catch (thrown) {
    log.error('ended', { cause: thrown instanceof Error ? thrown.message : String(thrown) });
    return 1;
  } finally {
    await http.close();
    log.info('stopped');
  }
}

function credentialsOf(settings: OperatorSettings): ConnectOptions {
  const { tls, tlsCa, tlsCert, tlsKey, tlsServerName, tokenFile, tokenWithoutTls } = settings;
  const options = {
    ...(tlsCa !== undefined && { ca: tlsCa }),
    ...(tlsCert !== undefined && { certificate: tlsCert }),
    ...(tlsKey !== undefined && { key: tlsKey }),
    ...(tlsServerName !== undefined && { serverName: tlsServerName }),
  };
  return {
    ...((tls === true || Object.keys(options).length > 0) && { tls: options }),
    ...(tokenFile !== undefined && {
      // Projected tokens are renewed in place.
      token: async () => (await readFile(tokenFile, 'utf8')).trim(),
    }),
    ...(tokenWithoutTls === true && { tokenWithoutTls }),
  };
}

function kubeConfigOf({ kubeconfig }: OperatorSettings): KubeConfig {
  const config = new KubeConfig();
  if (kubeconfig === undefined) config.loadFromDefault();
  else config.loadFromFile(kubeconfig);
  return config;
}

function hostPortOf(text: string): { readonly host: string; readonly port: number } {
  const at = text.lastIndexOf(':');
  return { host: text.slice(0, at), port: Number(text.slice(at + 1)) };
}

function pinoLog(level: OperatorSettings['logLevel']): OperatorLog {
  const logger = pino({ level, base: null }, pino.destination({ dest: 2, sync: true }));
  return {
    info: (message, facts) => logger.info(facts ?? {}, message),
    warn: (message, facts) => logger.warn(facts ?? {}, message),
    error: (message, facts) => logger.error(facts ?? {}, message),
  };
}

process.exitCode = await main();
