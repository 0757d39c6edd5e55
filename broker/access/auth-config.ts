// The file that `--auth-config` names, as data. Pure: reading the file and what it points to is done elsewhere.
//
// Invariant: an unknown field, a wrong type or a combination that means two things is refused with the place of it: a
// typo never leaves a door open.
import { isNamePart } from '../catalog/names.ts';
import { BrokerError } from '../core/errors.ts';
import { limits } from '../core/limits.ts';
import { quoted } from '../core/quoted.ts';
import { urlFault, type IssuerAddress } from './issuer-urls.ts';

export type KeysConfig =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'url'; readonly url: string }
  | { readonly kind: 'discovery' }
  /** A secret that the broker and the issuer share; HS algorithms. */
  | { readonly kind: 'secret'; readonly path: string };

export interface IssuerConfig extends IssuerAddress {
  /** What stands in principals: `jwt:NAME:SUB`. Undefined: subjects are Kubernetes service accounts. */
  readonly name: string | undefined;
  readonly issuer: string;
  readonly audiences: readonly string[];
  readonly algorithms: readonly string[];
  readonly keys: KeysConfig;
}

export interface AuthConfig {
  readonly apiTokens: readonly { readonly name: string; readonly file: string }[];
  readonly issuers: readonly IssuerConfig[];
}

type Fields = Readonly<Record<string, unknown>>;

const rsa = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'];
const asymmetric = [...rsa, 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'];
const symmetric = ['HS256', 'HS384', 'HS512'];
const addressFields = ['allowInsecureHttp', 'caFile', 'tokenFile'];

/** Throws SETTING_INVALID. */
export function parseAuthConfig(text: string): AuthConfig {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw invalid('the file', 'it is not JSON');
  }
  const root = fieldsOf(parsed, 'the file', ['apiTokens', 'issuers', 'kubernetes']);
  const issuers = listOf(root, 'issuers').map((one, i) => readIssuer(one, `issuers[${i}]`));
  const { kubernetes } = root;
  if (kubernetes !== undefined) issuers.push(readKubernetes(kubernetes));
  if (issuers.length > limits.issuersMax) {
    throw invalid('issuers', `at most ${limits.issuersMax}`);
  }
  refuseTwice(issuers, 'issuer', ({ issuer }) => issuer);
  refuseTwice(issuers, 'issuer name', ({ name }) => name);
  const apiTokens = listOf(root, 'apiTokens').map((one, i) => readToken(one, `apiTokens[${i}]`));
  refuseTwice(apiTokens, 'token', ({ name }) => name);
  return { apiTokens, issuers };
}

function readToken(value: unknown, place: string): AuthConfig['apiTokens'][number] {
  const fields = fieldsOf(value, place, ['name', 'file']);
  const name = textOf(fields, 'name', place);
  if (!isNamePart(name)) throw invalid(`${place}.name`, 'it is not a name');
  return { name, file: textOf(fields, 'file', place) };
}

function readIssuer(value: unknown, place: string): IssuerConfig {
  const known = ['name', 'issuer', 'audiences', 'algorithms', 'keys', ...addressFields];
  const fields = fieldsOf(value, place, known);
  const name = textOf(fields, 'name', place);
  if (!isNamePart(name)) throw invalid(`${place}.name`, 'it is not a name');
  const issuer = textOf(fields, 'issuer', place);
  const address = readAddress(fields, place);
  const keys = readKeys(fields['keys'], issuer, address, `${place}.keys`);
  return {
    name,
    issuer,
    audiences: textsOf(fields, 'audiences', place),
    algorithms: readAlgorithms(fields, keys, place),
    keys,
    ...address,
  };
}

function readKubernetes(value: unknown): IssuerConfig {
  const place = 'kubernetes';
  const fields = fieldsOf(value, place, ['issuer', 'audience', 'keys', ...addressFields]);
  const issuer = textOf(fields, 'issuer', place);
  const address = readAddress(fields, place);
  const keys = readKeys(fields['keys'], issuer, address, `${place}.keys`);
  if (keys.kind === 'secret') throw invalid(`${place}.keys`, 'a cluster signs with its own key');
  const audience =
    fields['audience'] === undefined ? 'millrace' : textOf(fields, 'audience', place);
  return {
    name: undefined,
    issuer,
    audiences: [audience],
    algorithms: asymmetric,
    keys,
    ...address,
  };
}

function readKeys(
  value: unknown,
  issuer: string,
  { allowInsecureHttp }: IssuerAddress,
  place: string,
): KeysConfig {
  const fields = fieldsOf(value, place, ['file', 'url', 'discovery', 'secretFile']);
  const [kind, ...more] = Object.keys(fields);
  if (kind === undefined || more.length > 0) {
    throw invalid(place, 'name one of file, url, discovery, secretFile');
  }
  switch (kind) {
    case 'file':
      return { kind, path: textOf(fields, kind, place) };
    case 'secretFile':
      return { kind: 'secret', path: textOf(fields, kind, place) };
    case 'url': {
      const url = textOf(fields, kind, place);
      checkUrl(url, allowInsecureHttp, `${place}.url`);
      return { kind, url };
    }
    default:
      if (fields['discovery'] !== true)
        throw invalid(`${place}.discovery`, 'it is true, or left out');
      checkUrl(issuer, allowInsecureHttp, 'the issuer');
      return { kind: 'discovery' };
  }
}

function readAlgorithms(fields: Fields, keys: KeysConfig, place: string): readonly string[] {
  const allowed = keys.kind === 'secret' ? symmetric : asymmetric;
  if (fields['algorithms'] === undefined) {
    if (keys.kind !== 'secret') return asymmetric;
    throw invalid(
      `${place}.algorithms`,
      'with a shared secret it says which of HS256, HS384, HS512',
    );
  }
  const algorithms = textsOf(fields, 'algorithms', place);
  const wrong = algorithms.find((name) => !allowed.includes(name));
  if (wrong === undefined) return algorithms;
  throw invalid(`${place}.algorithms`, `${quoted(wrong)} is none of ${allowed.join(', ')}`);
}

function readAddress(fields: Fields, place: string): IssuerAddress {
  const { allowInsecureHttp = false } = fields;
  if (typeof allowInsecureHttp !== 'boolean') {
    throw invalid(`${place}.allowInsecureHttp`, 'it is true or false');
  }
  const optional = (field: string): string | undefined =>
    fields[field] === undefined ? undefined : textOf(fields, field, place);
  return { allowInsecureHttp, caFile: optional('caFile'), tokenFile: optional('tokenFile') };
}

function checkUrl(url: string, allowInsecureHttp: boolean, place: string): void {
  const fault = urlFault(url, allowInsecureHttp);
  if (fault !== undefined) throw invalid(place, fault);
}

function fieldsOf(value: unknown, place: string, known: readonly string[]): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalid(place, 'it is not an object');
  }
  const unknown = Object.keys(value).find((field) => !known.includes(field));
  if (unknown === undefined) return value as Fields;
  throw invalid(place, `there is no field ${quoted(unknown)}; known are ${known.join(', ')}`);
}

function listOf(fields: Fields, field: string): readonly unknown[] {
  const value = fields[field] ?? [];
  if (Array.isArray(value)) return value;
  throw invalid(field, 'it is not a list');
}

function textsOf(fields: Fields, field: string, place: string): readonly string[] {
  const value = fields[field];
  const isList = Array.isArray(value) && value.length > 0;
  if (isList && value.every((one): one is string => typeof one === 'string' && one !== '')) {
    return value;
  }
  throw invalid(`${place}.${field}`, 'it is a list of at least one text');
}

function textOf(fields: Fields, field: string, place: string): string {
  const value = fields[field];
  if (typeof value === 'string' && value !== '' && !value.includes('\0')) return value;
  throw invalid(`${place}.${field}`, 'it is a text, and needed');
}

function refuseTwice<T>(
  items: readonly T[],
  what: string,
  keyOf: (item: T) => string | undefined,
): void {
  const keys = items.map(keyOf);
  const twice = keys.find((key, i) => keys.indexOf(key) !== i);
  if (twice !== undefined) throw invalid('the file', `it has the ${what} ${quoted(twice)} twice`);
}

function invalid(place: string, why: string): BrokerError {
  return new BrokerError('SETTING_INVALID', `setting --auth-config: ${place}: ${why}`, {
    metadata: { setting: '--auth-config', field: place },
  });
}
