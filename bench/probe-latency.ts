// Publishes a record every 5 ms and consumes it; when stdin ends, prints [sent at, ms until it was delivered] of each
// as JSON. In a process of its own it measures the broker and not the load beside it.
// `probe-latency.ts SERVER TOPIC`
import { once } from 'node:events';
import { connect } from '../client/src/index.ts';

const [server = '', topic = ''] = process.argv.slice(2);
const everyMs = 5;
const client = connect({ server });
const publisher = client.publisher(topic);
const samples: [number, number][] = [];
const work = client.consume(topic, 'probe', (message) => {
  const sentMs = message.value.readDoubleLE();
  samples.push([sentMs, performance.timeOrigin + performance.now() - sentMs]);
});
const timer = setInterval(() => {
  const value = Buffer.alloc(100);
  value.writeDoubleLE(performance.timeOrigin + performance.now());
  publisher.send({ value });
}, everyMs);
process.stdin.resume();
await once(process.stdin, 'end');
clearInterval(timer);
await publisher.close();
await work.close();
await client.close();
process.stdout.write(JSON.stringify(samples));
