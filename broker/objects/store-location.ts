// Where an object store is, as `--object-store` says it. Pure.
//
//   file:///absolute/path
//   s3://bucket/prefix?endpoint=http://host:port&region=name&path-style=true
//
// Invariant: a location never holds credentials, so it may be logged and shown.
import { fileURLToPath, pathToFileURL } from 'node:url';
import { BrokerError } from '../core/errors.ts';
import { quoted } from '../core/quoted.ts';

export interface DirectoryLocation {
  readonly kind: 'directory';
  readonly path: string;
}

export interface S3Location {
  readonly kind: 's3';
  readonly bucket: string;
  /** Stands before every key, without slashes at its ends; may be empty. */
  readonly prefix: string;
  /** A name or an address; IPv6 without brackets. */
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  readonly region: string;
  /** The bucket stands in the path, not in the host's name. */
  readonly pathStyle: boolean;
}

export type StoreLocation = DirectoryLocation | S3Location;

const bucketPattern = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
/** What S3 forbids within these: labels of a host name must be whole, and an address is none. */
const notABucket = /\.\.|\.-|-\.|^\d+\.\d+\.\d+\.\d+$/;
/** Parts as in object keys: no leading dot. */
const prefixPattern = /^[a-zA-Z0-9_~-][a-zA-Z0-9._~-]*(\/[a-zA-Z0-9_~-][a-zA-Z0-9._~-]*)*$/;
const prefixLengthMax = 200;
const hostPattern = /^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$|^[0-9a-f:.]+$/;
const regionDefault = 'us-east-1';
const parameters = ['endpoint', 'region', 'path-style'] as const;
type Parameter = (typeof parameters)[number];

/** Throws SETTING_INVALID. */
export function parseStoreUrl(text: string): StoreLocation {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === 'file:') return directoryOf(text, url);
  if (url?.protocol === 's3:') return s3Of(url);
  throw invalid(
    undefined,
    'allowed is file:///path or s3://bucket/prefix?endpoint=URL&region=NAME',
  );
}

/** As a URL that `parseStoreUrl` reads. */
export function describeLocation(location: StoreLocation): string {
  if (location.kind === 'directory') return pathToFileURL(location.path).href;
  const { bucket, prefix, region, pathStyle } = location;
  const query = `endpoint=${endpointOf(location)}&region=${region}&path-style=${String(pathStyle)}`;
  return `s3://${bucket}${prefix === '' ? '' : `/${prefix}`}?${query}`;
}

export function endpointOf({ tls, host, port }: S3Location): string {
  const isUsual = port === (tls ? 443 : 80);
  const name = host.includes(':') ? `[${host}]` : host;
  return `${tls ? 'https' : 'http'}://${name}${isUsual ? '' : `:${port}`}`;
}

function directoryOf(text: string, url: URL): DirectoryLocation {
  const isPlain = url.host === '' && url.search === '' && url.hash === '';
  // `file:a` and `file://a` parse, too, but not as anybody means them. An encoded slash has no path.
  if (!isPlain || !text.startsWith('file:///') || /%2f/i.test(url.pathname)) {
    throw invalid(url, 'a directory is file:///absolute/path with nothing behind it');
  }
  return { kind: 'directory', path: fileURLToPath(url) };
}

function s3Of(url: URL): S3Location {
  if (url.username !== '' || url.password !== '') {
    throw invalid(url, 'credentials come from the environment, files or a role, never from here');
  }
  if (url.hash !== '') throw invalid(url, 'nothing may stand behind #');
  const given = parametersOf(url);
  const bucket = url.host;
  if (!bucketPattern.test(bucket) || notABucket.test(bucket)) {
    throw invalid(url, 'a bucket is 3 to 63 of a-z, 0-9, dot and hyphen, and no address');
  }
  const prefix = url.pathname.replace(/^\/+|\/+$/g, '');
  if (prefix !== '' && (!prefixPattern.test(prefix) || prefix.length > prefixLengthMax)) {
    const rule = `a prefix is at most ${prefixLengthMax} letters, digits and . _ ~ - in parts`;
    throw invalid(url, `${rule} between single slashes, which begin with no dot`);
  }
  const region = given.get('region') ?? regionDefault;
  if (!/^[a-z0-9-]{1,40}$/.test(region)) {
    throw invalid(url, `region ${quoted(region)} is not a-z, 0-9 and hyphen`);
  }
  const endpoint = endpointIn(url, given.get('endpoint') ?? `https://s3.${region}.amazonaws.com`);
  const pathStyle = given.get('path-style') ?? String(given.has('endpoint'));
  if (pathStyle !== 'true' && pathStyle !== 'false') {
    throw invalid(url, `path-style ${quoted(pathStyle)} is not true or false`);
  }
  return { kind: 's3', bucket, prefix, ...endpoint, region, pathStyle: pathStyle === 'true' };
}

function parametersOf(url: URL): ReadonlyMap<Parameter, string> {
  const given = new Map<Parameter, string>();
  for (const [name, value] of url.searchParams) {
    const known = parameters.find((parameter) => parameter === name);
    if (known === undefined) {
      throw invalid(url, `parameter ${quoted(name)} is not one of ${parameters.join(', ')}`);
    }
    if (given.has(known)) throw invalid(url, `${known} stands there twice`);
    given.set(known, value);
  }
  return given;
}

function endpointIn(url: URL, endpoint: string): Pick<S3Location, 'host' | 'port' | 'tls'> {
  const at = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  const rest = `${at?.pathname}${at?.search}${at?.hash}${at?.username}${at?.password}`;
  if (at === undefined || !/^https?:$/.test(at.protocol) || rest !== '/' || at.port === '0') {
    throw invalid(url, 'endpoint is http://host:port or https://host:port, and nothing else');
  }
  const host = at.hostname.replace(/^\[|\]$/g, '');
  if (!hostPattern.test(host)) {
    throw invalid(url, `endpoint ${quoted(host)} is neither a host name nor an address`);
  }
  const tls = at.protocol === 'https:';
  return { host, port: at.port === '' ? (tls ? 443 : 80) : Number(at.port), tls };
}

/** Parameters and credentials are not shown: somebody may have put a secret there. */
function invalid(url: URL | undefined, rule: string): BrokerError {
  const shown =
    url === undefined ? '' : ` ${quoted(`${url.protocol}//${url.host}${url.pathname}`)}`;
  return new BrokerError('SETTING_INVALID', `object store${shown}: ${rule}`, {
    metadata: { setting: 'object-store' },
  });
}
