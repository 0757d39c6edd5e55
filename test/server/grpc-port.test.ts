// Addresses that the gRPC port listens on.
import { createServer, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { lookup } from 'node:dns/promises';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { systemClock } from '../../broker/core/clock.ts';
import { silentLog } from '../../broker/core/log.ts';
import { Connections } from '../../broker/server/connections.ts';
import { GrpcPort } from '../../broker/server/grpc-port.ts';
import { http2Begin } from '../support/http2-frames.ts';
import { RawTcp } from '../support/raw-tcp.ts';

let server: Server;

beforeEach(() => (server = new Server()));
afterEach(() => server.forceShutdown());

async function open(host: string, port: number): Promise<GrpcPort> {
  const connections = new Connections({
    connectionsMax: 10,
    connectionsPerAddressMax: 10,
    clock: systemClock,
    log: silentLog,
    isStreaming: () => false,
  });
  const credentials = ServerCredentials.createInsecure();
  return GrpcPort.open({ server, credentials, connections, host, port });
}

it('a name is every address that it has', async () => {
  const port = await open('localhost', 0);
  const addresses = await lookup('localhost', { all: true });
  let answeredCount = 0;
  for (const { address, family } of addresses) {
    if (family === 6 && !(await canListen(address))) continue;
    using tcp = await RawTcp.openAt(address, port.port);
    tcp.write(http2Begin);
    await expect.poll(() => tcp.received.length).toBeGreaterThan(0);
    answeredCount++;
  }
  expect(answeredCount).toBeGreaterThan(0);
  port.close();
});

it('a port that is taken is an error, and so is a host that is not here', async () => {
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  const { port } = other.address() as AddressInfo;
  await expect(open('127.0.0.1', port)).rejects.toThrow(/EADDRINUSE/);
  await expect(open('192.0.2.1', 0)).rejects.toThrow(/EADDRNOTAVAIL/);
  other.close();
});

it('a port that is closed takes nobody, and keeps who is there', async () => {
  const port = await open('127.0.0.1', 0);
  using tcp = await RawTcp.openAt('127.0.0.1', port.port);
  tcp.write(http2Begin);
  await expect.poll(() => tcp.received.length).toBeGreaterThan(0);
  port.close();
  await expect(RawTcp.openAt('127.0.0.1', port.port)).rejects.toThrow(/ECONNREFUSED/);
  expect(await tcp.isClosedWithin(100)).toBe(false);
});

async function canListen(address: string): Promise<boolean> {
  const probe = createServer();
  try {
    probe.listen(0, address);
    await once(probe, 'listening');
    return true;
  } catch {
    return false;
  } finally {
    probe.close();
  }
}
