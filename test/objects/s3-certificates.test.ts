// An S3 store over https with a certificate that is not to be believed: nothing of a request reaches it.
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { BrokerError } from '../../broker/core/errors.ts';
import { objectKey } from '../../broker/objects/object-store.ts';
import { S3ObjectStore } from '../../broker/objects/s3.ts';
import { parseStoreUrl } from '../../broker/objects/store-location.ts';
import type { Certificate } from '../support/certificates.ts';
import { TlsDirectory } from '../support/tls-directory.ts';
import { wrongCertificates } from '../support/wrong-certificates.ts';

const files = new TlsDirectory();
const usual = getCACertificates('default');
const key = objectKey('a', 'b');

// What NODE_EXTRA_CA_CERTS does for a process from its start on.
beforeAll(() => setDefaultCACertificates([...usual, files.ca.cert]));
afterAll(() => {
  setDefaultCACertificates(usual);
  files[Symbol.dispose]();
});

/** What becomes of a put to a store that shows the certificate, and how many requests it got. */
async function putTo(certificate: Certificate) {
  let requests = 0;
  const server: Server = createServer(certificate, (request, response) => {
    requests++;
    request.resume();
    request.once('end', () => response.writeHead(200, { etag: '"tag"' }).end());
  });
  server.on('tlsClientError', () => {});
  await new Promise<void>((resolve) => server.listen(0, 'localhost', resolve));
  const { port } = server.address() as AddressInfo;
  const location = parseStoreUrl(`s3://bucket/p?endpoint=https://localhost:${port}`);
  if (location.kind !== 's3') throw new Error('an S3 location');
  const credentials = { accessKey: 'key', secretKey: 'secret' };
  const store = new S3ObjectStore(location, () => Promise.resolve(credentials));
  const result: unknown = await store
    .putIfAbsent(key, Buffer.from('x'), AbortSignal.timeout(5_000))
    .catch((error: unknown) => error);
  store.close();
  server.closeAllConnections();
  server.close();
  return { result, requests };
}

it.each(wrongCertificates)(
  'a certificate $what is refused, and what to do is said',
  async ({ certificate, code }) => {
    const { result, requests } = await putTo(certificate(files));
    const facts = { reason: 'STORE_FAILED', effect: 'none', metadata: { code } };
    expect(result).toMatchObject(facts);
    const { message } = result as BrokerError;
    expect(message).toContain(`${code}: `);
    expect(message).toMatch(/(renew it|correct --object-store)/);
    expect(requests).toBe(0);
  },
);

it('a certificate of its host by a trusted authority is taken', async () => {
  const { result, requests } = await putTo(files.ca.issueServer());
  expect(result).toMatchObject({ outcome: 'written' });
  expect(requests).toBe(1);
});
