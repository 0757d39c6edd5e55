// The kinds of settings: how a text is read, and what is said about it.
import { parsePrincipal, type Principal } from './catalog/principal.ts';
import { parseHostPort, type HostPort } from './host-port.ts';

/** One row of the table, as documents and help texts show it. */
export interface SettingRow {
  readonly name: string;
  readonly flag: string;
  readonly env: string;
  readonly kind: string;
  readonly default: string;
  readonly allowed: string;
  readonly description: string;
}

export interface Setting<T> extends SettingRow {
  /** The name in camel case: the property of `Settings` and of the flag values. */
  readonly key: string;
  /** When nothing is given. */
  readonly value: T;
  /** Undefined: not allowed. */
  readonly parse: (text: string) => T | undefined;
}

type Texts = Pick<SettingRow, 'name' | 'description'>;

export const MiB = 1024 * 1024;
export const GiB = 1024 * MiB;
export const envPrefix = 'MILLRACE_';

export function address(preset: string, texts: Texts): Setting<HostPort> {
  const value = parseHostPort(preset);
  if (value === undefined) throw new TypeError(`default of ${texts.name}: ${preset}`);
  const allowed = 'HOST:PORT, such as 127.0.0.1:6700, [::1]:6700 or 0.0.0.0:6700';
  return setting(texts, 'address', preset, allowed, value, parseHostPort);
}

export function optionalAddress(preset: string, texts: Texts): Setting<HostPort | undefined> {
  const allowed = 'HOST:PORT with a port from 1 to 65535';
  return setting(texts, 'address', preset, allowed, undefined, (text) => {
    const parsed = parseHostPort(text);
    return parsed?.port === 0 ? undefined : parsed;
  });
}

export function path(preset: string, texts: Texts): Setting<string> {
  const allowed = 'a path of a directory, which is made if it is not there';
  return setting(texts, 'path', preset, allowed, preset, (text) =>
    text === '' || text.includes('\0') ? undefined : text,
  );
}

export function file(preset: string, texts: Texts): Setting<string | undefined> {
  return setting(texts, 'path', preset, 'a path of a file', undefined, (text) =>
    text === '' || text.includes('\0') ? undefined : text,
  );
}

export function principals(texts: Texts): Setting<readonly Principal[]> {
  const allowed =
    'principals with commas between them, such as certificate:ops,token:admin; see docs/access.md';
  return setting(texts, 'list', 'nobody', allowed, [], (text) => {
    try {
      return text.split(',').map((one) => parsePrincipal(one.trim()));
    } catch {
      return undefined;
    }
  });
}

export function storeUrl(preset: string, texts: Texts): Setting<string | undefined> {
  const allowed = 'file:///path or s3://bucket/prefix?endpoint=URL&region=NAME';
  return setting(texts, 'url', preset, allowed, undefined, (text) =>
    /^(file|s3):\/\//.test(text) ? text : undefined,
  );
}

export function flag(texts: Texts): Setting<boolean> {
  const parse = (text: string): boolean | undefined =>
    text === 'true' || (text === 'false' ? false : undefined);
  return setting(texts, 'flag', 'false', 'true or false', false, parse);
}

export function choice<const T extends string>(
  values: readonly T[],
  preset: NoInfer<T>,
  texts: Texts,
): Setting<T> {
  const parse = (text: string): T | undefined => values.find((value) => value === text);
  return setting(texts, 'choice', preset, values.join(', '), preset, parse);
}

export function integer(preset: number, min: number, max: number, texts: Texts): Setting<number> {
  const allowed = `a whole number from ${min} to ${max}`;
  return setting(texts, 'number', String(preset), allowed, preset, (text) =>
    within(/^[0-9]{1,15}$/.test(text) ? Number(text) : -1, min, max),
  );
}

export function bytes(preset: number, min: number, max: number, texts: Texts): Setting<number> {
  const allowed = `${sizeText(min)} to ${sizeText(max)}, in bytes or with K, M or G`;
  return setting(texts, 'size', sizeText(preset), allowed, preset, (text) => {
    const [, digits, unit] = /^([0-9]{1,15})([KMG]?)$/.exec(text) ?? [];
    if (digits === undefined) return undefined;
    const scale = unit === 'G' ? GiB : unit === 'M' ? MiB : unit === 'K' ? 1024 : 1;
    return within(Number(digits) * scale, min, max);
  });
}

function within(value: number, min: number, max: number): number | undefined {
  return value >= min && value <= max ? value : undefined;
}

function sizeText(size: number): string {
  if (size === 0) return '0';
  if (size % GiB === 0) return `${size / GiB}G`;
  return size % MiB === 0 ? `${size / MiB}M` : `${size / 1024}K`;
}

function setting<T>(
  { name, description }: Texts,
  kind: string,
  preset: string,
  allowed: string,
  value: T,
  parse: (text: string) => T | undefined,
): Setting<T> {
  return {
    name,
    key: name.replaceAll(/-([a-z])/g, (_, letter: string) => letter.toUpperCase()),
    flag: `--${name}`,
    env: envPrefix + name.toUpperCase().replaceAll('-', '_'),
    kind,
    default: preset,
    allowed,
    description,
    value,
    parse,
  };
}
