// Fetches small documents from where the settings say: an issuer's discovery document and its keys.
//
// Invariants:
// - https with a verified certificate, or http on this machine, or http because the settings say so; no redirects: what
//   is asked is what the settings name, or what the issuer's own document names under the same rule.
// - At most `issuerAnswerBytesMax` bytes are kept, and nobody waits longer than `issuerAnswerMs`.
import { readFile } from 'node:fs/promises';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { isIP } from 'node:net';
import type { Clock } from '../core/clock.ts';
import { limits } from '../core/limits.ts';
import { hostFault } from '../core/server-identity.ts';
import { issuerUnavailable, type KeySource } from './issuer-keys.ts';

export interface IssuerAddress {
  /** Plain http to other machines, too: whoever is on the way may then forge every token. */
  readonly allowInsecureHttp: boolean;
  /** PEM; undefined: the CAs that Node comes with. */
  readonly caFile: string | undefined;
  /** Sent as a bearer token; read anew each time, because such files are rotated. */
  readonly tokenFile: string | undefined;
}

/** Undefined: fine. Else what is wrong with it. */
export function urlFault(text: string, allowInsecureHttp: boolean): string | undefined {
  if (!URL.canParse(text)) return 'it is no URL';
  const { protocol, username, password, hostname, search, hash } = new URL(text);
  if (username !== '' || password !== '') return 'it has credentials in it';
  if (search !== '' || hash !== '') return 'it has a query or a fragment';
  if (protocol === 'https:') return undefined;
  if (protocol !== 'http:') return 'it is not https';
  if (allowInsecureHttp || isThisMachine(hostname)) return undefined;
  return 'http is for this machine only; use https, or say allowInsecureHttp';
}

/** Keys at a URL. */
export function keysAtUrl(url: string, address: IssuerAddress, clock: Clock): KeySource {
  return { what: url, load: () => fetchText(url, address, clock) };
}

/** Keys where the issuer's discovery document says. */
export function keysByDiscovery(issuer: string, address: IssuerAddress, clock: Clock): KeySource {
  const url = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
  return {
    what: issuer,
    async load() {
      const found = readDiscovery(await fetchText(url, address, clock));
      if (found.issuer !== issuer) {
        throw issuerUnavailable(issuer, 'its discovery document is of another issuer');
      }
      // An issuer beyond this machine has no business with what listens on it.
      const isLocal = new URL(issuer).protocol === 'http:';
      const fault = urlFault(found.jwksUri, address.allowInsecureHttp);
      const isHttp = fault === undefined && new URL(found.jwksUri).protocol === 'http:';
      if (fault !== undefined || (isHttp && !isLocal)) {
        throw issuerUnavailable(issuer, `its jwks_uri is not allowed: ${fault ?? 'http'}`);
      }
      return fetchText(found.jwksUri, address, clock);
    },
  };
}

/** Keys in a file; changed keys are noticed as those of a URL are. */
export function keysInFile(path: string): KeySource {
  return {
    what: path,
    async load() {
      try {
        return await readFile(path, 'utf8');
      } catch (cause) {
        throw issuerUnavailable(path, 'the file cannot be read', cause);
      }
    },
  };
}

function readDiscovery(text: string): { issuer: string; jwksUri: string } {
  try {
    const parsed = JSON.parse(text) as Readonly<Record<string, unknown>> | null;
    return { issuer: String(parsed?.['issuer']), jwksUri: String(parsed?.['jwks_uri']) };
  } catch {
    return { issuer: '', jwksUri: '' };
  }
}

async function fetchText(url: string, address: IssuerAddress, clock: Clock): Promise<string> {
  const { caFile, tokenFile } = address;
  const ca = caFile === undefined ? undefined : await readSecret(caFile, url);
  const token = tokenFile === undefined ? undefined : await readSecret(tokenFile, url);
  const headers = {
    // A Kubernetes API server gives its keys as the second only, and its discovery document as the first.
    accept: 'application/json, application/jwk-set+json',
    'accept-encoding': 'identity',
    ...(token === undefined ? {} : { authorization: `Bearer ${token.trim()}` }),
  };
  return new Promise((resolve, reject) => {
    const fail = (why: string, cause?: unknown): void => {
      timer.cancel();
      reject(issuerUnavailable(url, why, cause));
      request.destroy();
    };
    const take = (response: IncomingMessage): void => {
      if (response.statusCode !== 200) {
        fail(`status ${response.statusCode ?? 0}`);
        return;
      }
      readBody(response, fail, (body) => {
        timer.cancel();
        resolve(body);
      });
    };
    const options = { headers, agent: false };
    const trust = { checkServerIdentity: hostFault, ...(ca === undefined ? {} : { ca }) };
    const request = url.startsWith('https:')
      ? httpsRequest(url, { ...options, ...trust }, take)
      : httpRequest(url, options, take);
    const timer = clock.after(limits.issuerAnswerMs, () => {
      fail(`no answer within ${limits.issuerAnswerMs} ms`);
    });
    request.on('error', (error) => fail(error.message, error));
    request.end();
  });
}

function readBody(
  response: IncomingMessage,
  fail: (why: string) => void,
  done: (body: string) => void,
): void {
  const chunks: Buffer[] = [];
  let bytes = 0;
  response.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > limits.issuerAnswerBytesMax) {
      fail(`more than ${limits.issuerAnswerBytesMax} bytes`);
      return;
    }
    chunks.push(chunk);
  });
  response.on('error', (error) => fail(error.message));
  response.on('end', () => {
    if (response.complete) done(Buffer.concat(chunks).toString('utf8'));
    else fail('the answer was cut off');
  });
}

async function readSecret(path: string, url: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw issuerUnavailable(url, `the file ${path} cannot be read`, cause);
  }
}

function isThisMachine(hostname: string): boolean {
  if (hostname === 'localhost' || hostname === '[::1]') return true;
  return isIP(hostname) === 4 && hostname.startsWith('127.');
}
