// Nobody gets more by granting, by making tokens, or by having others write for them, than they were given.
import type { MessageInitShape } from '@bufbuild/protobuf';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { connect, type Client } from '../../client/src/index.ts';
import {
  DeadLetterAction,
  StartDeadLetterJobRequestSchema,
} from '../../proto/gen/millrace/v1/dead_letter_pb.ts';
import { encode, RawGrpc } from '../support/raw-grpc.ts';
import { principalOf, SecuredBroker } from '../support/secured-broker.ts';

let secured: SecuredBroker;
/** Administers tenant `public`. */
let tenant: Client;
/** Administers everything, operates nothing. */
let wide: Client;

beforeAll(async () => {
  secured = await SecuredBroker.start();
  tenant = connect({
    server: secured.server,
    token: await secured.grant('tenant', 'public', 'administer'),
  });
  wide = connect({ server: secured.server, token: await secured.grant('wide', '*', 'administer') });
});

afterAll(async () => {
  await Promise.all([tenant.close(), wide.close()]);
  await secured[Symbol.asyncDispose]();
});

const denied = { reason: 'PERMISSION_DENIED', kind: 'denied' };
const friend = principalOf('friend');

it('a tenant administrator grants within the tenant only', async () => {
  expect(await tenant.access.grant(friend, 'public/x', ['consume'])).toMatchObject({
    roles: ['consume'],
  });
  expect(await tenant.access.grant(friend, 'public', ['administer'])).toMatchObject({
    scope: 'public',
  });
  for (const scope of ['*', '', 'acme', 'public2', 'acme/public', 'publi']) {
    await expect(tenant.access.grant(friend, scope, ['view']), scope).rejects.toMatchObject(denied);
    await expect(tenant.access.revoke(principalOf('wide'), scope), scope).rejects.toMatchObject(
      denied,
    );
    await expect(Array.fromAsync(tenant.access.grants({ scope })), scope).rejects.toMatchObject(
      denied,
    );
  }
  await expect(tenant.access.createToken('mine')).rejects.toMatchObject(denied);
  await expect(tenant.access.revokeToken('admin')).rejects.toMatchObject(denied);
});

it('operate is given and taken by operators only', async () => {
  await expect(wide.access.grant(principalOf('wide'), '*', ['operate'])).rejects.toMatchObject(
    denied,
  );
  await secured.admin.access.grant(friend, '*', ['operate']);
  await expect(wide.access.revoke(friend, '*')).rejects.toMatchObject(denied);
  await expect(wide.access.revoke(friend, '*', ['operate'])).rejects.toMatchObject(denied);
  expect(await wide.access.revoke(friend, '*', ['view'])).toBe(false);
  expect(await secured.admin.access.revoke(friend, '*')).toBe(true);
  await expect(secured.admin.access.grant(friend, 'public', ['operate'])).rejects.toMatchObject({
    reason: 'ARGUMENT_INVALID',
  });
});

it('a token of a name that operates by the settings cannot be made', async () => {
  await expect(wide.access.createToken('admin')).rejects.toMatchObject(denied);
  await expect(secured.admin.access.createToken('admin')).rejects.toMatchObject({
    reason: 'TOKEN_EXISTS',
  });
});

it('a token begins without rights, whatever was granted to its name before', async () => {
  await secured.admin.access.grant('token:public/early', '*', ['operate']);
  const early = await tenant.access.createToken('early', { tenant: 'public' });
  await using client = connect({ server: secured.server, token: early.secret });
  expect(await client.access.whoAmI()).toMatchObject({
    principal: 'token:public/early',
    grants: [],
    operates: false,
  });
  await tenant.access.grant(early.principal, 'public', ['view']);
  await tenant.access.revokeToken('early', { tenant: 'public' });
  await tenant.access.createToken('early', { tenant: 'public' });
  expect(
    await Array.fromAsync(tenant.access.grants({ scope: 'public', principal: early.principal })),
  ).toEqual([]);
});

it('a consumer cannot have its dead letters written where it may not publish', async () => {
  await secured.admin.topics.apply('source');
  await secured.admin.topics.apply('target');
  const token = await secured.grant('reader', 'public/default/source', 'consume');
  await using client = connect({ server: secured.server, token });
  const apply = () =>
    client.subscriptions.apply('source', 'work', { kind: 'queue', deadLetterTopic: 'target' });
  await expect(apply()).rejects.toMatchObject(denied);
  await secured.grant('reader', 'public/default/target', 'publish');
  expect(await apply()).toMatchObject({ created: true });
});

it('who administers a dead-letter topic redrives only to where it may publish', async () => {
  const { admin } = secured;
  await admin.topics.apply('letters');
  await admin.subscriptions.apply('letters', 'dead-letters', { kind: 'queue' });
  const token = await secured.grant('undertaker', 'public/default/letters', 'administer');
  using grpc = new RawGrpc(secured.server, `Bearer ${token}`);
  const redrive = async (more: MessageInitShape<typeof StartDeadLetterJobRequestSchema>) => {
    const request = { topic: 'letters', action: DeadLetterAction.REDRIVE, ...more };
    const path = 'DeadLetterService/StartDeadLetterJob';
    const outcome = await grpc.unary(path, encode(StartDeadLetterJobRequestSchema, request));
    return outcome.kind === 'answer' ? '' : outcome.end.reason;
  };
  expect(await redrive({})).toBe('PERMISSION_DENIED');
  expect(await redrive({ to: 'source' })).toBe('PERMISSION_DENIED');
  expect(await redrive({ filter: { originTopic: 'source' } })).toBe('PERMISSION_DENIED');
  expect(await redrive({ action: DeadLetterAction.PURGE })).toBe('');
  await secured.grant('undertaker', 'public/default/source', 'publish');
  expect(await redrive({ filter: { originTopic: 'source' } })).toBe('');
  await secured.grant('undertaker', 'public', 'publish');
  expect(await redrive({})).toBe('');
});

it('check says what whoami lives by', async () => {
  const scope = 'public/default/source';
  expect(await secured.admin.access.check(principalOf('reader'), 'consume', scope)).toMatchObject({
    allowed: true,
  });
  expect(await secured.admin.access.check(principalOf('reader'), 'publish', scope)).toMatchObject({
    allowed: false,
  });
  expect(await secured.admin.access.check('token:admin', 'operate', '*')).toMatchObject({
    allowed: true,
  });
});

it('grants and tokens are there after a restart', async () => {
  const token = await secured.admin.access.createToken('kept', { expiresAfterMs: 3_600_000 });
  await secured.admin.access.grant(token.principal, 'public', ['consume']);
  await secured.broker.kill('SIGKILL');
  await secured.broker.restart();
  await using client = connect({ server: secured.server, token: token.secret });
  expect(await client.access.whoAmI()).toMatchObject({
    principal: 'token:kept',
    expiresAtMs: token.expiresAtMs,
    grants: [{ scope: 'public', roles: ['consume'] }],
  });
});
