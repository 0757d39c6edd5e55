// Reads a topic from its start with so many readers at once, each on a connection of its own; prints the milliseconds.
// `read-all.ts SERVER TOPIC RECORDS READERS`
import { connect } from '../client/src/index.ts';
import { readRecords } from './workloads/replay.ts';

const [server = '', topic = '', records = '0', readers = '1'] = process.argv.slice(2);
const clients = Array.from({ length: Number(readers) }, () => connect({ server }));
const startMs = performance.now();
await Promise.all(
  clients.map((client) => readRecords(client, topic, (count) => count >= Number(records))),
);
process.stdout.write(String(performance.now() - startMs));
await Promise.all(clients.map((client) => client.close()));
