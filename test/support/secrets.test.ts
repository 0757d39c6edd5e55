import { expect, it } from 'vitest';
import { goodClaims, makeSigner, sign } from '../access/signers.ts';
import { BrokerProcess } from './broker-process.ts';
import { expectNoSecret } from './secrets.ts';

const apiToken = `mrt_${'a'.repeat(43)}`;

it('finds each kind of secret, and does not repeat it', async () => {
  const jwt = await sign(await makeSigner('ES256', 'k'), goodClaims('alice'));
  const key = '-----BEGIN EC PRIVATE KEY-----';
  for (const secret of [apiToken, jwt, key, 'millrace-secret', 'secretAccessKey: abc']) {
    const look = () => expectNoSecret('the log', `said: ${secret} and more`);
    expect(look).toThrow(/stands in the log, after: said: $/);
    expect(look).not.toThrow(secret);
  }
  expect(() => expectNoSecret('the log', 'token:admin mrt_ eyJhbGciOiJFUzI1NiJ9')).not.toThrow();
});

it('is looked for at the end of every broker', async () => {
  const program = new URL('leaky-broker.ts', import.meta.url).pathname;
  const broker = await BrokerProcess.start({ program, env: { LEAK: apiToken } });
  await expect(broker[Symbol.asyncDispose]()).rejects.toThrow('stands in the output');
});
