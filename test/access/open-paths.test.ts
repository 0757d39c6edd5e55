// What a broker that asks everybody answers to nobody: an exact list.
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Client, credentials, status } from '@grpc/grpc-js';
import { SecuredBroker } from '../support/secured-broker.ts';

let secured: SecuredBroker;
let client: Client;

beforeAll(async () => {
  secured = await SecuredBroker.start();
  client = new Client(secured.server, credentials.createInsecure());
});

afterAll(async () => {
  client.close();
  await secured[Symbol.asyncDispose]();
});

it('over HTTP', async () => {
  const paths = [
    '/livez',
    '/healthz',
    '/readyz',
    '/metrics',
    '/',
    '/debug',
    '/debug/pprof',
    '/admin',
    '/v1',
    '/metrics/',
    '/livez/../audit.log',
    '/config',
    '/stats',
  ];
  const open: string[] = [];
  for (const path of paths) {
    if ((await fetch(`http://${secured.broker.http}${path}`)).ok) open.push(path);
  }
  expect(open).toEqual(['/livez', '/healthz', '/readyz', '/metrics']);
  expect((await fetch(`http://${secured.broker.http}/metrics`, { method: 'POST' })).status).toBe(
    405,
  );
});

it('over gRPC', async () => {
  const asIs = (bytes: Buffer): Buffer => bytes;
  const code = (path: string, request: Buffer): Promise<status> =>
    new Promise((resolve) => {
      const deadline = Date.now() + 5_000;
      client.makeUnaryRequest(path, asIs, asIs, request, { deadline }, (error) =>
        resolve(error?.code ?? status.OK),
      );
    });
  const firstOf = (path: string, request: Buffer): Promise<status> =>
    new Promise((resolve) => {
      const call = client.makeBidiStreamRequest(path, asIs, asIs);
      call.on('data', () => {
        resolve(status.OK);
        call.cancel();
      });
      call.on('error', (error: Error & { code: status }) => resolve(error.code));
      call.write(request);
    });
  expect(await code('/grpc.health.v1.Health/Check', Buffer.alloc(0))).toBe(status.OK);
  // list_services = 7, empty text
  expect(
    await firstOf(
      '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
      Buffer.from([0x3a, 0]),
    ),
  ).toBe(status.OK);
  for (const path of [
    '/millrace.v1.ClusterService/GetCluster',
    '/millrace.v1.AccessService/WhoAmI',
  ]) {
    expect(await code(path, Buffer.alloc(0))).toBe(status.UNAUTHENTICATED);
  }
  for (const path of ['/grpc.channelz.v1.Channelz/GetServers', '/x/y', '/']) {
    expect(await code(path, Buffer.alloc(0))).toBe(status.UNIMPLEMENTED);
  }
});
