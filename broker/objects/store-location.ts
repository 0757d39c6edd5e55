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
  readonly host: string;
  readonly port: number;
  readonly tls: boolean;
  readonly region: string;
  /** The bucket stands in the path, not in the host's name. */
  readonly pathStyle: boolean;
}

export type StoreLocation = DirectoryLocation | S3Location;

const bucketPattern = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
const prefixPattern = /^[a-zA-Z0-9_~-][a-zA-Z0-9._~/-]{0,199}$/;
const regionDefault = 'us-east-1';
const parameters = new Set(['endpoint', 'region', 'path-style']);

/** Throws SETTING_INVALID. */
export function parseStoreUrl(text: string): StoreLocation {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url?.protocol === 'file:') return directoryOf(text, url);
  if (url?.protocol === 's3:') return s3Of(text, url);
  throw invalid(text, 'allowed is file:///path or s3://bucket/prefix?endpoint=URL&region=NAME');
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
  return `${tls ? 'https' : 'http'}://${host}${isUsual ? '' : `:${port}`}`;
}

function directoryOf(text: string, url: URL): DirectoryLocation {
  if (url.host !== '' || url.search !== '' || url.hash !== '') {
    throw invalid(text, 'a directory is file:///absolute/path with nothing behind it');
  }
  return { kind: 'directory', path: fileURLToPath(url) };
}

function s3Of(text: string, url: URL): S3Location {
  const { searchParams } = url;
  if (url.username !== '' || url.password !== '') {
    throw invalid(hidden(url), 'credentials come from the environment, files or a role');
  }
  for (const name of searchParams.keys()) {
    if (!parameters.has(name)) {
      throw invalid(text, `parameter ${quoted(name)} is not one of ${[...parameters].join(', ')}`);
    }
  }
  const bucket = url.host;
  if (!bucketPattern.test(bucket)) {
    throw invalid(text, 'a bucket is 3 to 63 of a-z, 0-9, dot and hyphen');
  }
  const prefix = url.pathname.replace(/^\/+|\/+$/g, '');
  if (prefix !== '' && (!prefixPattern.test(prefix) || prefix.includes('//'))) {
    throw invalid(text, 'a prefix is letters, digits, and . _ ~ - between single slashes');
  }
  const region = searchParams.get('region') ?? regionDefault;
  if (!/^[a-z0-9-]{1,40}$/.test(region)) throw invalid(text, 'region is a-z, 0-9 and hyphen');
  const given = searchParams.get('endpoint');
  const endpoint = given ?? `https://s3.${region}.amazonaws.com`;
  const at = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (at === undefined || !/^https?:$/.test(at.protocol) || at.pathname !== '/') {
    throw invalid(text, 'endpoint is http://host:port or https://host:port');
  }
  const pathStyle = searchParams.get('path-style') ?? String(given !== null);
  if (pathStyle !== 'true' && pathStyle !== 'false') {
    throw invalid(text, 'path-style is true or false');
  }
  const tls = at.protocol === 'https:';
  const port = at.port === '' ? (tls ? 443 : 80) : Number(at.port);
  const host = at.hostname;
  return { kind: 's3', bucket, prefix, host, port, tls, region, pathStyle: pathStyle === 'true' };
}

/** A URL whose credentials are not shown. */
function hidden(url: URL): string {
  return `${url.protocol}//***@${url.host}${url.pathname}`;
}

function invalid(text: string, rule: string): BrokerError {
  return new BrokerError('SETTING_INVALID', `object store ${quoted(text)}: ${rule}`, {
    metadata: { setting: 'object-store' },
  });
}
