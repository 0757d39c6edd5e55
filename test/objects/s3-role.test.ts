import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { credentialsOf, type Environment } from '../../broker/objects/s3-credentials.ts';
import { rejectionOf } from '../support/reason-of.ts';
import { withTemporaryDirectory } from '../support/temporary-directory.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

interface Asked {
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

const minuteMs = 60_000;
const none = { AWS_SHARED_CREDENTIALS_FILE: '/nowhere/credentials' };

let server: Server;
let url: string;
let clock: VirtualClock;
let asked: Asked[];
let answer: (response: ServerResponse) => void;

beforeEach(async () => {
  clock = new VirtualClock();
  asked = [];
  answer = grant('k1', 60);
  server = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.once('end', () => {
      asked.push({ headers: request.headers, body });
      answer(response);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});

afterEach(async () => {
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
});

/** What STS and a container's agent answer, at once: each reads its own. */
function grant(accessKey: string, minutes: number): (response: ServerResponse) => void {
  return (response) => {
    const expiration = new Date(clock.wallMs() + minutes * minuteMs).toISOString();
    response.setHeader('content-type', 'text/xml');
    response.end(`<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>
      <AccessKeyId>${accessKey}</AccessKeyId><SecretAccessKey>s/+=</SecretAccessKey>
      <SessionToken>t</SessionToken><Expiration>${expiration}</Expiration>
      </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>`);
  };
}

function withToken(work: (environment: Environment, path: string) => Promise<void>): Promise<void> {
  return withTemporaryDirectory(async (directory) => {
    const path = join(directory, 'token');
    await writeFile(path, 'first-token\n');
    const environment = {
      ...none,
      AWS_WEB_IDENTITY_TOKEN_FILE: path,
      AWS_ROLE_ARN: 'arn:aws:iam::1:role/millrace',
      AWS_ENDPOINT_URL_STS: url,
    };
    await work(environment, path);
  });
}

describe('a web identity', () => {
  it('gives credentials for its token, sent in the body and not in the URL', () =>
    withToken(async (environment) => {
      const source = await credentialsOf(environment, clock);
      expect(await source()).toEqual({ accessKey: 'k1', secretKey: 's/+=', sessionToken: 't' });
      const form = Object.fromEntries(new URLSearchParams(asked[0]?.body));
      expect(form).toEqual({
        Action: 'AssumeRoleWithWebIdentity',
        Version: '2011-06-15',
        WebIdentityToken: 'first-token',
        RoleArn: 'arn:aws:iam::1:role/millrace',
        RoleSessionName: 'millrace',
      });
    }));

  it('is asked once for many calls, and again before it expires, with the token of then', () =>
    withToken(async (environment, path) => {
      const source = await credentialsOf(environment, clock);
      await Promise.all(Array.from({ length: 20 }, () => source()));
      expect(asked.length).toBe(1);
      clock.advance(54 * minuteMs);
      await source();
      expect(asked.length).toBe(1);
      await writeFile(path, 'second-token');
      answer = grant('k2', 60);
      clock.advance(2 * minuteMs);
      // The old ones are still good: nobody waits.
      expect((await source()).accessKey).toBe('k1');
      await expect.poll(async () => (await source()).accessKey).toBe('k2');
      expect(asked.length).toBe(2);
      expect(asked[1]?.body).toContain('second-token');
    }));

  it('that cannot be renewed is used while it is good, and asked for in intervals', () =>
    withToken(async (environment) => {
      const source = await credentialsOf(environment, clock);
      await source();
      answer = (response) => response.writeHead(500).end();
      clock.advance(56 * minuteMs);
      for (let i = 0; i < 10; i++) expect((await source()).accessKey).toBe('k1');
      await expect.poll(() => asked.length).toBe(2);
      clock.advance(4 * minuteMs);
      expect(await rejectionOf(source())).toMatchObject({
        reason: 'STORE_FAILED',
        effect: 'none',
        metadata: { code: 'role_refused' },
      });
      answer = grant('k3', 60);
      expect((await source()).accessKey).toBe('k3');
    }));

  it.each([
    [400, '<ErrorResponse><Error><Code>ExpiredTokenException</Code></Error></ErrorResponse>'],
    [403, '<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>'],
    [200, '<html>a login page</html>'],
    [302, ''],
  ])('that is refused with %i says so without the token', async (status, body) => {
    await withToken(async (environment) => {
      answer = (response) => response.writeHead(status, { location: `${url}/other` }).end(body);
      const source = await credentialsOf(environment, clock);
      const error = await rejectionOf(source());
      expect(error).toMatchObject({ reason: 'STORE_FAILED', metadata: { code: 'role_refused' } });
      expect(error?.message).toContain(url);
      const code = /<Code>(\w+)/.exec(body)?.[1];
      if (code !== undefined) expect(error?.message).toContain(code);
      expect(JSON.stringify([error, error?.message, error?.cause])).not.toContain('first-token');
      expect(asked.length).toBe(1);
    });
  });

  it('whose token is not there names the file', async () => {
    const source = await credentialsOf(
      { ...none, AWS_WEB_IDENTITY_TOKEN_FILE: '/no/token' },
      clock,
    );
    const error = await rejectionOf(source());
    expect(error?.metadata['code']).toBe('role_token_unreadable');
    expect(error?.message).toContain('/no/token');
  });
});

describe('the agent of a container', () => {
  const granted = {
    AccessKeyId: 'k',
    SecretAccessKey: 's',
    Token: 't',
    Expiration: '2999-01-01T00:00:00Z',
  };

  it('gives credentials for the token in its file', () =>
    withTemporaryDirectory(async (directory) => {
      const path = join(directory, 'token');
      await writeFile(path, 'agent-token');
      answer = (response) => response.end(JSON.stringify(granted));
      const source = await credentialsOf(
        {
          ...none,
          AWS_CONTAINER_CREDENTIALS_FULL_URI: `${url}/v1/credentials`,
          AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: path,
        },
        clock,
      );
      expect(await source()).toEqual({ accessKey: 'k', secretKey: 's', sessionToken: 't' });
      expect(asked[0]?.headers.authorization).toBe('agent-token');
    }));

  it.each(['no JSON', 'null', '{}', JSON.stringify({ ...granted, Expiration: 'soon' })])(
    'that answers %s is refused',
    async (body) => {
      answer = (response) => response.end(body);
      const source = await credentialsOf(
        { ...none, AWS_CONTAINER_CREDENTIALS_FULL_URI: url },
        clock,
      );
      const error = await rejectionOf(source());
      expect(error).toMatchObject({ reason: 'STORE_FAILED', metadata: { code: 'role_refused' } });
    },
  );
});
