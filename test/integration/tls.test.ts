// TLS between a real broker and real clients: who is let in, who is not, and on which side it ends.
import { connect as connectHttp2, createSecureServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { readFile, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connect, MillraceError, type ConnectOptions } from '../../client/src/index.ts';
import { BrokerProcess } from '../support/broker-process.ts';
import type { Certificate, CertificateOptions } from '../support/certificates.ts';
import { metric } from '../support/metric.ts';
import { openRead } from '../support/raw-read.ts';
import { RawTcp } from '../support/raw-tcp.ts';
import { runMillrace } from '../support/run-millrace.ts';
import { SteadyPublisher } from '../support/steady-publisher.ts';
import { TlsDirectory } from '../support/tls-directory.ts';
import { expired, notYetValid, wrongCertificates } from '../support/wrong-certificates.ts';

const files = new TlsDirectory();
/** How often the brokers here look at their files. */
const reloadArgs = ['--tls-reload-interval-ms', '100'];

afterAll(() => files[Symbol.dispose]());

/** '' when a call is answered, else why not. */
async function callWith(options: ConnectOptions): Promise<string> {
  await using client = connect({ ...options, callTimeoutMs: 1_500 });
  try {
    await client.cluster();
    return '';
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

describe('a broker with TLS', () => {
  let broker: BrokerProcess;
  beforeAll(async () => {
    broker = await BrokerProcess.start({ args: files.args });
  });
  afterAll(() => broker[Symbol.asyncDispose]());

  it('serves clients who trust its CA, by file, by PEM and under another name', async () => {
    const { server } = broker;
    expect(await callWith({ server, tls: { ca: files.file('ca.pem') } })).toBe('');
    expect(await callWith({ server, tls: { ca: Buffer.from(files.ca.cert) } })).toBe('');
    const byName = server.replace('127.0.0.1', 'localhost');
    expect(await callWith({ server: byName, tls: { ca: files.ca.cert } })).toBe('');
    expect(await callWith({ server, tls: { ca: files.ca.cert, serverName: 'localhost' } })).toBe(
      '',
    );
  });

  it('is not believed to be another host, nor by those who do not know its CA', async () => {
    const { server } = broker;
    const { ca } = files;
    const wrongHost = await callWith({
      server,
      tls: { ca: ca.cert, serverName: 'broker.example' },
    });
    expect(wrongHost).toMatch(/not for broker\.example but for/);
    expect(await callWith({ server, tls: { ca: files.clientCa.cert } })).toMatch(/certificate/);
    expect(await callWith({ server, tls: true })).toMatch(/certificate/);
  });

  it('does not answer plain text', async () => {
    expect(await callWith({ server: broker.server })).not.toBe('');
    using tcp = await RawTcp.open(broker.server);
    tcp.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
    expect(await tcp.isClosedWithin(5_000)).toBe(true);
  });

  it.each(['TLSv1', 'TLSv1.1'] as const)('refuses %s', async (version) => {
    const outcome = await handshake(broker.server, version);
    expect(outcome).toMatch(/protocol|version|ECONNRESET|alert/i);
    expect(outcome).not.toMatch(/^TLS/);
  });

  it.each(['TLSv1.2', 'TLSv1.3'] as const)('takes %s', async (version) => {
    expect(await handshake(broker.server, version)).toBe(`${version} h2`);
  });

  it('takes no old cipher of TLS 1.2', async () => {
    const outcome = await handshake(broker.server, 'TLSv1.2', 'ECDHE-ECDSA-AES128-SHA');
    expect(outcome).toMatch(/handshake failure|alert/);
  });

  it('takes up no old session: each connection shows its certificate anew', async () => {
    const first = await openTls(broker.server);
    const session = await new Promise<Buffer>((resolve) => first.once('session', resolve));
    first.destroy();
    const again = await openTls(broker.server, { session });
    expect(again.isSessionReused()).toBe(false);
    again.destroy();
  });
});

describe('a certificate of a broker', () => {
  it.each(wrongCertificates)('$what is refused by clients', async ({ certificate, sdkSays }) => {
    // No broker starts with some of these: this is what somebody in its place would show.
    const impostor = createSecureServer(certificate(files));
    impostor.on('sessionError', () => {});
    await new Promise<void>((resolve) => impostor.listen(0, 'localhost', resolve));
    const server = `localhost:${(impostor.address() as AddressInfo).port}`;
    expect(await callWith({ server, tls: { ca: files.ca.cert } })).toMatch(sdkSays);
    impostor.close();
  });

  it('that has expired ends the start', async () => {
    using own = new TlsDirectory();
    own.writeServer(own.ca.issueServer(expired));
    await expect(BrokerProcess.start({ args: own.args })).rejects.toThrow(/CERTIFICATE_INVALID/);
  });
});

describe('a broker that wants certificates', () => {
  let broker: BrokerProcess;
  let optional: BrokerProcess;
  beforeAll(async () => {
    broker = await BrokerProcess.start({ args: files.mutualArgs });
    const args = [...files.mutualArgs, '--tls-client-certificates', 'optional'];
    optional = await BrokerProcess.start({ args });
  });
  afterAll(async () => {
    await broker[Symbol.asyncDispose]();
    await optional[Symbol.asyncDispose]();
  });

  const tlsOf = ({ cert, key }: Certificate) => ({ ca: files.ca.cert, certificate: cert, key });
  const good = (): Certificate => files.clientCa.issue({ commonNames: ['alice'] });
  const bad: readonly (readonly [string, () => Certificate])[] = [
    ['of another CA', () => files.ca.issue({ commonNames: ['alice'] })],
    ['that has expired', () => files.clientCa.issue({ commonNames: ['alice'], ...expired })],
    [
      'that is not valid yet',
      () => files.clientCa.issue({ commonNames: ['alice'], ...notYetValid }),
    ],
  ];

  it('serves who has a good one', async () => {
    expect(await callWith({ server: broker.server, tls: tlsOf(good()) })).toBe('');
    expect(await callWith({ server: optional.server, tls: tlsOf(good()) })).toBe('');
  });

  it.each(bad)('refuses one %s, whether it must be there or may', async (_, certificate) => {
    expect(await callWith({ server: broker.server, tls: tlsOf(certificate()) })).not.toBe('');
    expect(await callWith({ server: optional.server, tls: tlsOf(certificate()) })).not.toBe('');
    expect(
      await metric(optional, 'millrace_connections_refused_total{cause="certificate"}'),
    ).toBeGreaterThan(0);
  });

  it('refuses who has none, unless it may be missing', async () => {
    expect(await callWith({ server: broker.server, tls: { ca: files.ca.cert } })).not.toBe('');
    expect(await callWith({ server: optional.server, tls: { ca: files.ca.cert } })).toBe('');
  });

  it('serves the command line with files', async () => {
    const { stdout, stderr } = await runMillrace(broker.server, [
      ...['cluster', '-o', 'json', '--tls-ca', files.file('ca.pem')],
      ...['--tls-cert', files.file('client.pem'), '--tls-key', files.file('client.key')],
    ]);
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toHaveProperty('clusterId');
    const without = await runMillrace(broker.server, ['cluster', '--tls-ca', files.file('ca.pem')]);
    expect(without.code).toBe(6);
  });
});

describe('a certificate of a client', () => {
  it('says who it is, for as long as it is valid, on a connection that stays', async () => {
    const args = [...files.mutualArgs, '--operators', 'certificate:ops'];
    await using broker = await BrokerProcess.start({ args });
    const { server } = broker;
    const asWhom = (options: CertificateOptions) => {
      const { cert, key } = files.clientCa.issue(options);
      return connect({ server, tls: { ca: files.ca.cert, certificate: cert, key } });
    };
    await using ops = asWhom({ commonNames: ['ops'] });
    expect(await ops.access.whoAmI()).toMatchObject({
      principal: 'certificate:ops',
      operates: true,
    });
    // Two names are none, and a host is not a name of a client.
    await using two = asWhom({ commonNames: ['ops', 'bob'] });
    await expect(two.access.whoAmI()).rejects.toMatchObject({ kind: 'denied' });
    await using host = asWhom({ commonNames: [], hosts: ['ops'] });
    await expect(host.access.whoAmI()).rejects.toMatchObject({ kind: 'denied' });

    const notAfter = new Date(Date.now() + 5_000);
    await using brief = asWhom({ commonNames: ['ops'], notAfter });
    expect(await brief.access.whoAmI()).toMatchObject({ operates: true });
    const refusal = (): Promise<unknown> =>
      brief.access.whoAmI().then(
        () => 'answered',
        (error: unknown) => (error instanceof MillraceError ? error.kind : error),
      );
    await expect.poll(refusal, { timeout: 10_000 }).toBe('denied');
  });
});

describe('certificates that change', () => {
  it('under load reach new connections and drop none', async () => {
    using own = new TlsDirectory();
    await using broker = await BrokerProcess.start({ args: [...own.mutualArgs, ...reloadArgs] });
    const { server } = broker;
    const next = new TlsDirectory();
    const both = `${own.ca.cert}${next.ca.cert}`;
    const tls = { ca: both, certificate: own.file('client.pem'), key: own.file('client.key') };
    const steady = await SteadyPublisher.start(server, 'steady', { tls });
    const connectionsBefore = await metric(broker, 'millrace_connections');

    for (const { ca } of [next, own, next]) {
      const issued = ca.issueServer();
      // Half of it, then the whole certificate with the old key, then both.
      own.write('server.pem', issued.cert.slice(0, 300));
      await expect.poll(() => metric(broker, 'millrace_tls_reload_failing')).toBe(1);
      own.write('server.pem', issued.cert);
      await expect.poll(() => broker.stderr).toMatch(/is not the key of/);
      expect(await callWith({ server, tls })).toBe('');
      own.write('server.key', issued.key);
      await expect.poll(() => metric(broker, 'millrace_tls_reload_failing')).toBe(0);
      // Who trusts only the CA of before is refused now.
      await expect.poll(() => callWith({ server, tls: { ...tls, ca: ca.cert } })).toBe('');
      const other = ca === own.ca ? next.ca : own.ca;
      expect(await callWith({ server, tls: { ...tls, ca: other.cert } })).not.toBe('');
    }
    expect(await steady.stop()).toBe('');
    // The steady one never had to connect again.
    expect(connectionsBefore).toBe(1);
    expect(steady.failedCount).toBe(0);
    expect(broker.stderr.match(/took new certificates/g)).toHaveLength(3);
    await steady.client.close();
    next[Symbol.dispose]();
  });

  it('leave a connection that is open as it is, in the middle of a stream', async () => {
    using own = new TlsDirectory();
    await using broker = await BrokerProcess.start({ args: [...own.args, ...reloadArgs] });
    const { server } = broker;
    await using client = connect({ server, tls: { ca: own.ca.cert } });
    await client.topics.apply('open');
    await using publisher = client.publisher('open');
    // One connection, which nothing here would make again.
    const session = connectHttp2(`https://${server}`, { ca: own.ca.cert });
    const ends: string[] = [];
    for (const event of ['goaway', 'error', 'close']) session.on(event, () => ends.push(event));
    const stream = openRead(session, 'open');
    stream.on('close', () => ends.push('end of the stream'));
    let received = '';
    stream.on('data', (chunk: Buffer) => (received += chunk.toString('latin1')));
    const certificateOf = async (): Promise<string> => {
      const socket = await openTls(server, { ca: own.ca.cert });
      const { fingerprint256 } = socket.getPeerCertificate();
      socket.destroy();
      return fingerprint256;
    };
    try {
      for (let round = 0; round < 3; round++) {
        const before = await certificateOf();
        own.writeServer(own.ca.issueServer());
        // Records come before, while and after new connections get the next certificate.
        for (let i = 0; (await certificateOf()) === before; i++) {
          await publisher.publish({ value: `round ${round}, record ${i}` });
        }
        await publisher.publish({ value: `end of round ${round}` });
        await expect.poll(() => received).toContain(`end of round ${round}`);
      }
      expect(ends).toEqual([]);
    } finally {
      session.destroy();
    }
  });

  it('are told by a metric, with the time that is left', async () => {
    using own = new TlsDirectory();
    const soon = new Date(Date.now() + 3_600_000);
    own.writeServer(own.ca.issueServer({ notAfter: soon }));
    await using broker = await BrokerProcess.start({ args: [...own.args, ...reloadArgs] });
    const left = await metric(broker, 'millrace_tls_certificate_expiry_seconds');
    expect(left).toBeGreaterThan(3_500);
    expect(left).toBeLessThanOrEqual(3_600);
    own.writeServer(own.ca.issueServer());
    await expect
      .poll(() => metric(broker, 'millrace_tls_certificate_expiry_seconds'))
      .toBeGreaterThan(29 * 24 * 3600);
  });

  it('of the clients and of their CA are used by the next connection', async () => {
    using own = new TlsDirectory();
    await using broker = await BrokerProcess.start({ args: [...own.mutualArgs, ...reloadArgs] });
    const next = new TlsDirectory();
    const tls = {
      ca: own.ca.cert,
      certificate: own.file('client.pem'),
      key: own.file('client.key'),
    };
    await using client = connect({ server: broker.server, tls });
    await client.cluster();
    await writeFile(own.file('client-ca.pem'), await readFile(next.file('client-ca.pem')));
    await expect
      .poll(() => callWith({ server: broker.server, tls }), { timeout: 10_000 })
      .not.toBe('');
    own.writeClient(next.clientCa.issue({ commonNames: ['bob'] }));
    // The same client, on its next connection, without a word.
    await broker.kill('SIGTERM');
    await broker.restart();
    expect((await client.cluster()).clusterId).not.toBe('');
    next[Symbol.dispose]();
  });
});

/** Protocol and ALPN of a connection, or why there is none. */
async function handshake(
  server: string,
  version: 'TLSv1' | 'TLSv1.1' | 'TLSv1.2' | 'TLSv1.3',
  ciphers?: string,
): Promise<string> {
  const [host, port] = server.split(':');
  return new Promise((resolve) => {
    const socket: TLSSocket = connectTls(
      {
        host,
        port: Number(port),
        ca: files.ca.cert,
        minVersion: version,
        maxVersion: version,
        ALPNProtocols: ['h2'],
        // OpenSSL itself refuses old versions unless it is told not to.
        ciphers: ciphers ?? 'DEFAULT@SECLEVEL=0',
      },
      () => {
        resolve(`${socket.getProtocol()} ${socket.alpnProtocol}`);
        socket.destroy();
      },
    );
    socket.once('error', (error) => resolve(error.message));
  });
}

function openTls(
  server: string,
  options: { readonly session?: Buffer; readonly ca?: string } = {},
): Promise<TLSSocket> {
  const [host, port] = server.split(':');
  const socket = connectTls({
    host,
    port: Number(port),
    ca: files.ca.cert,
    ALPNProtocols: ['h2'],
    ...options,
  });
  return new Promise((resolve, reject) => {
    socket.once('secureConnect', () => resolve(socket));
    socket.once('error', reject);
  });
}
