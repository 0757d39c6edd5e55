// Every RPC that the proto files have, called by everybody there may be: each cell is asserted on a real broker.
import type { DescMethod } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { methodAccess } from '../../broker/server/method-access.ts';
import { allMethods } from '../support/all-methods.ts';
import { RawGrpc } from '../support/raw-grpc.ts';
import { SecuredBroker } from '../support/secured-broker.ts';
import { callMethod, type Place } from './matrix-call.ts';
import { makeSigner, sign, goodClaims } from './signers.ts';

/** What each identity may do on the topic of tenant `public`, written out once more. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  none: [],
  expired: [],
  'wrong issuer': [],
  'wrong audience': [],
  'another key': [],
  'another scheme': [],
  'no API token': [],
  'no grant': ['caller'],
  'other tenant': ['caller'],
  'other namespace': ['caller'],
  'other topic': ['caller'],
  view: ['caller', 'view'],
  publish: ['caller', 'view', 'publish'],
  consume: ['caller', 'view', 'consume'],
  'topic administrator': ['caller', 'view', 'publish', 'consume', 'administer'],
  'tenant administrator': ['caller', 'view', 'publish', 'consume', 'administer'],
  operator: ['caller', 'view', 'publish', 'consume', 'administer', 'operate'],
};
const unknown = Object.keys(allowed).slice(0, 7);
const here: Place = { topic: 'public/default/there', tenant: 'public' };
const nowhere: Place = { topic: 'public/default/not-there', tenant: 'public' };

const methods = await allMethods();
let secured: SecuredBroker;
/** What each says of itself; undefined: nothing. */
const authorizations = new Map<string, string | undefined>();

beforeAll(async () => {
  secured = await SecuredBroker.start();
  await secured.admin.topics.apply(here.topic);
  const connectAs = (name: string, authorization?: string): void => {
    authorizations.set(name, authorization);
  };
  const withToken = async (name: string, token: Promise<string> | string): Promise<void> =>
    connectAs(name, `Bearer ${await token}`);
  const seconds = Math.floor(Date.now() / 1000);
  connectAs('none');
  await withToken('expired', secured.token('operator', { exp: seconds - 60 }));
  await withToken('wrong issuer', secured.token('operator', { iss: 'https://evil.test' }));
  await withToken('wrong audience', secured.token('operator', { aud: 'other' }));
  await withToken('another key', sign(await makeSigner('ES256', 'test'), goodClaims('operator')));
  connectAs('another scheme', `Basic ${Buffer.from('admin:admin').toString('base64')}`);
  await withToken('no API token', `mrt_${'A'.repeat(43)}`);
  await withToken('no grant', secured.token('nobody'));
  await withToken('other tenant', secured.grant('stranger', 'acme', 'administer'));
  await withToken('other namespace', secured.grant('neighbour', 'public/other', 'administer'));
  await withToken('other topic', secured.grant('sibling', 'public/default/ther', 'administer'));
  await withToken('view', secured.grant('viewer', here.topic, 'view'));
  await withToken('publish', secured.grant('publisher', here.topic, 'publish'));
  await withToken('consume', secured.grant('consumer', here.topic, 'consume'));
  await withToken('topic administrator', secured.grant('owner', here.topic, 'administer'));
  await withToken('tenant administrator', secured.grant('tenant', 'public', 'administer'));
  await withToken('operator', secured.grant('operator', '*', 'operate'));
  // The same rights on the name that does not exist, so that both answers can be compared.
  for (const [subject, role] of [
    ['viewer', 'view'],
    ['publisher', 'publish'],
    ['consumer', 'consume'],
    ['owner', 'administer'],
  ] as const) {
    await secured.grant(subject, nowhere.topic, role);
  }
});

afterAll(async () => {
  await secured[Symbol.asyncDispose]();
});

/** What a cell must say, from the declaration alone. */
function expected(method: DescMethod, identity: string): 'unknown' | 'denied' | 'allowed' {
  if (unknown.includes(identity)) return 'unknown';
  const { permission, scope } = methodAccess(method);
  if (scope.kind === 'caller' || scope.kind === 'listed') return 'allowed';
  // Rights on a topic say nothing about the tenant's tokens, or about the installation.
  const isWide = scope.kind === 'cluster' || /Token/.test(method.name);
  const isTopicOnly = ['view', 'publish', 'consume', 'topic administrator'].includes(identity);
  if (isWide && isTopicOnly) return 'denied';
  if (scope.kind === 'cluster' && identity !== 'operator') return 'denied';
  return allowed[identity]?.includes(permission ?? 'caller') === true ? 'allowed' : 'denied';
}

const denials = [
  'UNAUTHENTICATED',
  'PERMISSION_DENIED',
  'CREDENTIAL_EXPIRED',
  'ISSUER_UNAVAILABLE',
];

describe.each(Object.keys(allowed))('as %s', (identity) => {
  it.each(methods.map((method) => [`${method.parent.name}/${method.name}`, method] as const))(
    '%s',
    async (_, method) => {
      expect(authorizations.has(identity)).toBe(true);
      // Of its own: one that makes call after call without a good credential is closed.
      using grpc = new RawGrpc(secured.server, authorizations.get(identity));
      const first = await callMethod(grpc, method, nowhere);
      const cell = expected(method, identity);
      if (cell === 'allowed') {
        expect(denials).not.toContain(first.reason);
        return;
      }
      expect(first.reason).toBe(cell === 'unknown' ? 'UNAUTHENTICATED' : 'PERMISSION_DENIED');
      // What exists and what does not are answered alike, but for the name that was asked for.
      const second = await callMethod(grpc, method, here);
      const { topic } = nowhere;
      expect(second).toEqual({ ...first, message: first.message.replaceAll(topic, here.topic) });
    },
  );
});

it('has at least 300 cells, and each identity has one that tells it from the others', () => {
  expect(methods.length * authorizations.size).toBeGreaterThanOrEqual(300);
  const columns = Object.keys(allowed).map((identity) =>
    methods.map((method) => expected(method, identity)).join(),
  );
  expect(new Set(columns).size).toBe(8);
});
