// Somebody else's port, in a process of its own: takes every connection, reads what comes, and closes the oldest when
// there are too many, as the broker does and without a broker. `node connection-sink.ts`; prints its HOST:PORT.
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { limits } from '../../broker/core/limits.ts';

const open = new Set<Socket>();
const server = createServer((socket) => {
  socket.on('error', () => {});
  socket.on('close', () => open.delete(socket));
  socket.resume();
  open.add(socket);
  const [oldest] = open;
  if (open.size > limits.connectionsUnprovenMax) oldest?.destroy();
});
server.listen(0, '127.0.0.1', () => {
  console.log(`127.0.0.1:${(server.address() as AddressInfo).port}`);
});
