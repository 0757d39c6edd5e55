// The log port on pino: JSON lines on stderr, so that stdout stays for what a person or script reads.
import { pino } from 'pino';
import type { Log } from '../core/log.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogFormat = 'json' | 'text';

export function pinoLog(level: LogLevel, format: LogFormat): Log {
  const logger =
    format === 'json'
      ? pino({ level, base: null }, pino.destination({ dest: 2, sync: true }))
      : pino(
          { level, base: null },
          { write: (line: string) => process.stderr.write(textLine(line)) },
        );
  return {
    info: (event, fields) => logger.info(fields ?? {}, event),
    warn: (event, fields) => logger.warn(fields ?? {}, event),
    error: (event, fields) => logger.error(fields ?? {}, event),
  };
}

/** One line for people: time, level, event, then the fields. */
function textLine(json: string): string {
  const { level, time, msg, ...fields } = JSON.parse(json) as Record<string, unknown>;
  const labels: Record<number, string> = { 20: 'debug', 30: 'info', 40: 'warn', 50: 'error' };
  const rest = Object.entries(fields)
    .map(([key, value]) => ` ${key}=${JSON.stringify(value)}`)
    .join('');
  const at = new Date(Number(time)).toISOString();
  return `${at} ${labels[Number(level)] ?? 'info'} ${String(msg)}${rest}\n`;
}
