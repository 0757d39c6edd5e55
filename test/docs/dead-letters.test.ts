// docs/dead-letters.md, run as written against a real broker.
import { expect, it } from 'vitest';
import { connect, RejectError, type Client } from '../../client/src/index.ts';
import { BrokerProcess } from '../support/broker-process.ts';
import { blocksOf, runShell } from './page.ts';

type Page = (
  client: Client,
  rejectError: typeof RejectError,
  charge: (order: unknown) => Promise<void>,
) => Promise<void>;

it('the page on dead letters works as written', async () => {
  const blocks = blocksOf('docs/dead-letters.md');
  const first = (wanted: string): string =>
    blocks.find(({ language }) => language === wanted)?.text ?? '';
  await using broker = await BrokerProcess.start();
  await using client = connect({ server: broker.server });
  await client.topics.apply('orders');
  await client.subscriptions.apply('orders', 'billing', { kind: 'queue', backoffMaxMs: 100 });
  await runShell(first('bash'), broker.server);
  const { spec } = await client.subscriptions.get('orders', 'billing');
  expect(spec).toMatchObject({ deadLetterTopic: 'public/default/orders-failed', attemptsMax: 5 });

  const charged: unknown[] = [];
  // The page is ours; this runs nothing that anybody else wrote.
  const AsyncFunction = (async () => {}).constructor as new (...args: string[]) => Page;
  const example = new AsyncFunction('client', 'RejectError', 'charge', first('ts'));
  await example(client, RejectError, async (order) => void charged.push(order));
  const publisher = client.publisher('orders');
  await publisher.publish({ value: JSON.stringify({ customer: 'Ada', amount: 3 }) });
  await publisher.publish({ value: JSON.stringify({ amount: 4 }) });
  for await (const letter of client.reader('orders-failed', { from: 'earliest' })) {
    expect(JSON.parse(letter.text())).toEqual({ amount: 4 });
    expect([...letter.headers].map(([name]) => name)).toContain('millrace-error');
    break;
  }
  expect(charged).toEqual([{ customer: 'Ada', amount: 3 }]);
});
