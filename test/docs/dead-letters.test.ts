// docs/dead-letters.md, run as written against a real broker.
import { expect, it } from 'vitest';
import { connect, RejectError, type Client } from '../../client/src/index.ts';
import { BrokerProcess } from '../support/broker-process.ts';
import { blocksOf, runShell } from './page.ts';

type Page = (
  client: Client,
  rejectError: typeof RejectError,
  charge: (order: unknown) => Promise<void>,
  console: { log(...texts: unknown[]): void },
) => Promise<void>;

/** The page is ours; this runs nothing that anybody else wrote. */
const AsyncFunction = (async () => {}).constructor as new (...args: string[]) => Page;

function blocks(wanted: string): string[] {
  return blocksOf('docs/dead-letters.md')
    .filter(({ language }) => language === wanted)
    .map(({ text }) => text);
}

it('the page on dead letters works as written', async () => {
  const [settingUp = '', bringingBack = ''] = blocks('bash');
  const [working = '', redriving = ''] = blocks('ts');
  await using broker = await BrokerProcess.start();
  await using client = connect({ server: broker.server });
  await client.topics.apply('orders');
  await client.subscriptions.apply('orders', 'billing', { kind: 'queue', backoffMaxMs: 100 });
  await runShell(settingUp, broker.server);
  const { spec } = await client.subscriptions.get('orders', 'billing');
  expect(spec).toMatchObject({ deadLetterTopic: 'public/default/orders-failed', attemptsMax: 5 });

  const charged: unknown[] = [];
  const said: unknown[][] = [];
  const example = async (code: string): Promise<void> => {
    const page = new AsyncFunction('client', 'RejectError', 'charge', 'console', code);
    const charge = async (order: unknown) => void charged.push(order);
    await page(client, RejectError, charge, { log: (...texts) => void said.push(texts) });
  };
  await example(working);
  const publisher = client.publisher('orders');
  await publisher.publish({ value: JSON.stringify({ customer: 'Ada', amount: 3 }) });
  await publisher.publish({ value: JSON.stringify({ amount: 4 }) });
  for await (const letter of client.reader('orders-failed', { from: 'earliest' })) {
    expect(JSON.parse(letter.text())).toEqual({ amount: 4 });
    expect([...letter.headers].map(([name]) => name)).toContain('millrace-error');
    break;
  }
  expect(charged).toEqual([{ customer: 'Ada', amount: 3 }]);

  // It is rejected again and again, so that each redrive finds it.
  const died = async (): Promise<number> =>
    (await client.deadLetters.count('orders-failed')).counts.reduce((sum, c) => sum + c.letters, 0);
  const shown = await runShell(bringingBack, broker.server);
  expect(shown).toContain('would redrive 1 of 1 letters\nredriven 1 of 1 letters\n');
  await expect.poll(died).toBe(1);
  await example(redriving);
  expect(said).toEqual([['1 brought back, 0 stayed', '']]);
  await expect.poll(died).toBe(1);
  const [letter] = await Array.fromAsync(client.deadLetters.peek('orders-failed'));
  expect(letter).toMatchObject({ redriven: 2, reason: 'rejected' });
}, 60_000);
