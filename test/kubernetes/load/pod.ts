// What the pods of the test on real nodes run, in the project's image: `publish` numbers a record after the other,
// `work` works through them and can replay them. Port 8080 tells how far they are.
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { connect } from '../../../client/src/index.ts';

const topic = 'retail/default/orders';
const subscription = 'billing';
const everyMs = 5;
const keys = 50;

type Route = () => unknown;

const client = connect({
  server: process.env['MILLRACE_SERVER'] ?? '',
  tls: { ca: process.env['MILLRACE_TLS_CA'] ?? '' },
  // The kubelet renews it.
  token: () => readFile(process.env['MILLRACE_TOKEN_FILE'] ?? '', 'utf8'),
});

serve(process.argv[2] === 'publish' ? publish() : work());

function publish(): Readonly<Record<string, Route>> {
  const publisher = client.publisher(topic);
  const confirmed: number[] = [];
  const failures: string[] = [];
  const pending = new Set<Promise<void>>();
  let isStopped = false;
  const send = (number: number): void => {
    const sending = publisher.publish({ key: `key ${number % keys}`, value: String(number) }).then(
      () => void confirmed.push(number),
      (error: unknown) => void failures.push(String(error)),
    );
    pending.add(sending);
    void sending.then(() => pending.delete(sending));
  };
  const run = async (): Promise<void> => {
    for (let number = 0; !isStopped; number++) {
      send(number);
      await delay(everyMs);
    }
    await Promise.all(pending);
  };
  const running = run();
  return {
    '/state': () => ({ count: confirmed.length, failures }),
    '/stop': async () => {
      isStopped = true;
      await running;
      return confirmed.toSorted((a, b) => a - b);
    },
  };
}

function work(): Readonly<Record<string, Route>> {
  const done = new Set<number>();
  const handle = ({ value }: { readonly value: Uint8Array }): void => {
    done.add(Number(Buffer.from(value).toString()));
  };
  client.consume(topic, subscription, handle, { concurrency: 16 });
  return {
    '/state': () => ({ count: done.size, failures: [] }),
    '/done': () => [...done],
    '/replay': async () => {
      const partitions: Record<number, number[]> = {};
      for await (const record of client.reader(topic, { from: 'earliest', stopAtEnd: true })) {
        (partitions[record.partition] ??= []).push(Number(record.text()));
      }
      return partitions;
    },
  };
}

function serve(routes: Readonly<Record<string, Route>>): void {
  const server = createServer((request, response) => {
    void Promise.resolve(routes[request.url ?? '']?.()).then(
      (answer) => response.end(JSON.stringify(answer)),
      (error: unknown) => response.writeHead(500).end(String(error)),
    );
  });
  server.listen(8080);
}
