// Random calls of one tenant's administrator at what belongs to others: nothing of it comes back, whatever the call.
// Secrets that were used meanwhile are looked for in everything that the broker has written.
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { create, toBinary, type DescMessage, type DescMethod } from '@bufbuild/protobuf';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { connect } from '../../client/src/index.ts';
import { methodAccess } from '../../broker/server/method-access.ts';
import { seededRandom, type Random } from '../../broker/core/random.ts';
import { allMethods } from '../support/all-methods.ts';
import { RawGrpc } from '../support/raw-grpc.ts';
import { principalOf, SecuredBroker } from '../support/secured-broker.ts';

const calls = Number(process.env['ACCESS_CALLS'] ?? 4_000);
const seed = Number(process.env['SEED'] ?? 11);
/** Whatever comes back must not hold it; it stands in names, values and headers of the others. */
const mark = 'zebra';
const foreign = ['public/default/zebra', 'public/zebra/a', 'public/default/zebra-dead'];
const refused = ['PERMISSION_DENIED', 'NAME_INVALID', 'FRAME_MALFORMED', 'ARGUMENT_INVALID'];

let secured: SecuredBroker;

beforeAll(async () => {
  secured = await SecuredBroker.start();
  for (const topic of foreign) {
    await secured.admin.topics.apply(topic);
    await secured.admin.subscriptions.apply(topic, 'zebra', { kind: 'queue' });
    const publisher = secured.admin.publisher(topic);
    await publisher.publish({ key: 'zebra', value: 'zebra', headers: [['zebra', 'zebra']] });
  }
  await secured.admin.access.grant(principalOf('zebra'), 'public', ['administer']);
  await secured.admin.access.createToken('zebra', { tenant: 'public' });
});

afterAll(() => secured[Symbol.asyncDispose]());

function anyOf<T>(all: readonly T[], random: Random): T {
  return all[Math.floor(random.next() * all.length)] as T;
}

/** A request whose texts are names of others, numbers small: ids, offsets, leases, revisions as they may be. */
function randomRequest(desc: DescMessage, random: Random, depth = 0): Record<string, unknown> {
  const pick = <T>(all: readonly T[]): T => anyOf(all, random);
  const names = [
    ...foreign,
    ...foreign,
    'public',
    'public/zebra',
    '*',
    'zebra',
    'acme/../public',
    `token:public/zebra`,
    '',
    '1',
  ];
  const fields: Record<string, unknown> = {};
  for (const field of desc.fields) {
    if (depth > 3 || random.next() < 0.15) continue;
    if (field.oneof !== undefined && !field.oneof.name.startsWith('_')) continue;
    const one = (): unknown => {
      if (field.message !== undefined) return randomRequest(field.message, random, depth + 1);
      if (field.enum !== undefined) return pick(field.enum.values).number;
      if (field.scalar === undefined) return undefined;
      const number = Math.floor(random.next() * 5);
      switch (scalarKind(String(field.proto.type))) {
        case 'text':
          return pick(names);
        case 'flag':
          return random.next() < 0.5;
        case 'bytes':
          return new Uint8Array(2);
        case 'long':
          return BigInt(number);
        case 'number':
          return number;
      }
    };
    if (field.fieldKind === 'map') continue;
    fields[field.localName] = field.fieldKind === 'list' ? [one()] : one();
  }
  return fields;
}

/** google.protobuf.FieldDescriptorProto.Type, by number. */
function scalarKind(type: string): 'text' | 'flag' | 'bytes' | 'long' | 'number' {
  if (type === '9') return 'text';
  if (type === '8') return 'flag';
  if (type === '12') return 'bytes';
  return ['3', '4', '6', '16', '18'].includes(type) ? 'long' : 'number';
}

it(`${calls} random calls of another tenant leak nothing (seed ${seed})`, async () => {
  const token = await secured.grant('acme-owner', 'acme', 'administer');
  using grpc = new RawGrpc(secured.server, `Bearer ${token}`);
  const random = seededRandom(seed);
  const methods = (await allMethods()).filter(({ methodKind }) => methodKind === 'unary');
  const reasons = new Map<string, number>();
  const one = async (method: DescMethod): Promise<void> => {
    const fields = randomRequest(method.input, random);
    const request = Buffer.from(toBinary(method.input, create(method.input, fields)));
    const outcome = await grpc.unary(`${method.parent.name}/${method.name}`, request);
    const { kind } = methodAccess(method).scope;
    if (outcome.kind === 'answer') {
      // Only what asks for nobody's scope is answered, and without anything of others.
      expect(['caller', 'listed'], `${method.name} ${JSON.stringify(outcome)}`).toContain(kind);
      expect(outcome.bytes.toString('latin1')).not.toContain(mark);
    } else {
      const { reason } = outcome.end;
      expect(refused, `${method.name}: ${outcome.end.message}`).toContain(reason);
      reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    }
  };
  for (let done = 0; done < calls; done += 50) {
    const batch = Array.from({ length: 50 }, () => anyOf(methods, random));
    await Promise.all(batch.map((method) => one(method)));
  }
  // The test could not fail if it never got as far as asking.
  expect(reasons.get('PERMISSION_DENIED')).toBeGreaterThan(calls / 4);
  for (const topic of foreign) {
    const { partitions, subscriptionCount } = await secured.admin.topics.get(topic);
    expect([partitions[0]?.endOffset, subscriptionCount]).toEqual([1, 1]);
  }
}, 600_000);

it('a field that stands in a request twice is refused, whatever it holds', async () => {
  const token = await secured.grant('twice', 'acme', 'administer');
  using grpc = new RawGrpc(secured.server, `Bearer ${token}`);
  const name = (text: string): Buffer =>
    Buffer.concat([Buffer.from([0x0a, text.length]), Buffer.from(text)]);
  for (const names of [
    [name('acme/a/b'), name('public/default/zebra')],
    [name('public/default/zebra'), name('acme/a/b')],
    [name('acme/a/b'), name('acme/a/b')],
    [Buffer.from([0x08, 0x01]), name('acme/a/b')],
  ]) {
    const request = Buffer.concat(names);
    for (const path of ['TopicService/GetTopic', 'PublishService/Publish', 'ConsumeService/Pull']) {
      expect((await grpc.refusal(path, request)).reason).toBe('FRAME_MALFORMED');
    }
  }
});

it('no secret is in the log, the audit log, the metrics, the arguments or the data', async () => {
  const secrets = [secured.adminSecret];
  const { access } = secured.admin;
  const made = await access.createToken('marked', { expiresAfterMs: 60_000 });
  const jwt = await secured.grant('marked', 'public', 'view');
  const invented = `mrt_${randomBytes(32).toString('base64url')}`;
  secrets.push(made.secret, invented, jwt, `${jwt}x`, jwt.slice(0, -4));
  const said: string[] = [];
  for (const token of secrets) {
    await using client = connect({ server: secured.server, token });
    await client.access
      .whoAmI()
      .catch((error: unknown) => said.push(String(error), JSON.stringify(error)));
    await client.topics
      .get('public/default/zebra')
      .catch((error: unknown) => said.push(String(error)));
  }
  const metrics = await secured.broker.metrics();
  const command = readFileSync(`/proc/${secured.broker.pid}/cmdline`, 'utf8');
  expect(command).toContain('--auth-config');
  await secured.broker.kill('SIGTERM');
  const files = readdirSync(secured.broker.dataDir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name), 'latin1'));
  expect(files.length).toBeGreaterThanOrEqual(4);
  // It is found where it is.
  expect(readFileSync(join(secured.directory, 'admin'), 'latin1')).toContain(secured.adminSecret);
  const everything = [secured.broker.stderr, metrics, command, ...files, ...said].join('\n');
  expect(everything).toContain('token:marked');
  for (const secret of secrets) {
    expect(everything.includes(secret.slice(0, 40))).toBe(false);
    expect(everything.includes(secret.slice(-24))).toBe(false);
  }
}, 60_000);
