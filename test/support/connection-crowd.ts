// A crowd of connections that mean no call, in a process of its own so that it slows nobody but the broker:
// `node connection-crowd.ts HOST:PORT COUNT SECONDS`. A quarter each is silent, stops in the middle of its headers,
// sends a byte a second, sends noise. Prints how many are open when all have been opened, and again after so
// many seconds.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { callHeaders, frame, frameTypes, http2Begin } from './http2-frames.ts';

const [server = '', count = '0', seconds = '0'] = process.argv.slice(2);
const [host = '', port] = server.split(':');
const half = frame(frameTypes.headers, callHeaders('PublishService/Publish').subarray(0, 9), 0, 1);
const sockets: Socket[] = [];
const openCount = (): number => sockets.filter((socket) => !socket.destroyed).length;

for (let i = 0; i < Number(count); i++) {
  const socket = connect({ host, port: Number(port) });
  socket.on('error', () => {});
  socket.resume();
  sockets.push(socket);
  if (i % 4 === 1) socket.write(Buffer.concat([http2Begin, half]));
  if (i % 4 === 3) socket.write(Buffer.alloc(64, i));
  // Not all at once: the backlog of the listener would drop them.
  if (i % 100 === 0) await once(socket, 'connect');
}
console.log(`opened ${openCount()}`);
for (let second = 0; second < Number(seconds); second++) {
  for (const [i, socket] of sockets.entries()) {
    if (i % 4 === 2 && !socket.destroyed) socket.write(http2Begin.subarray(second, second + 1));
  }
  await sleep(1_000);
}
console.log(`left ${openCount()}`);
for (const socket of sockets) socket.destroy();
