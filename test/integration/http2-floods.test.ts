// Attacks on HTTP/2 that go on: whoever is cut off connects again and goes on, for ATTACK_SECONDS each (default 5; 60
// and more by hand). The broker lives, serves others meanwhile, and has its memory back afterwards.
//
// What it holds is back where it was before the first of them. What the process has of the system is not: allocators
// keep pages for the next time. A short flood makes them do so first; the long one may then add nothing.
import { kill } from 'node:process';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { BrokerProcess } from '../support/broker-process.ts';
import {
  callHeaders,
  endHeaders,
  frame,
  frameTypes,
  http2Begin,
  literalHeader,
  uint32,
} from '../support/http2-frames.ts';
import { metric } from '../support/metric.ts';
import { itNeeding } from '../support/needs.ts';
import { anonymousMiB, noProcFs } from '../support/process-memory.ts';
import { RawTcp } from '../support/raw-tcp.ts';
import { SteadyPublisher } from '../support/steady-publisher.ts';

const seconds = Number(process.env['ATTACK_SECONDS'] ?? 5);
const warmUpSeconds = 2;
/** Who attacks at once, each with one connection at a time. */
const attackers = 4;
/** What may stay: a twentieth, or what a process of this size moves by itself. */
const keptShare = 0.05;
const heldFloorMiB = 8;
/** Pages that an allocator keeps come and go by so much; a leak of 1 KiB a connection would be as much in a minute. */
const processFloorMiB = 128;
/** Of a good client, on processors that it shares with those who attack. */
const servedWithinMs = 5_000;
const preload = pathToFileURL(join(import.meta.dirname, '..', 'support', 'collect-on-signal.ts'));

const headers = callHeaders('ConsumeService/ConsumeStream');
const open = (stream: number, flags = endHeaders): Buffer =>
  frame(frameTypes.headers, headers, flags, stream);
const times = (count: number, frameOf: (i: number) => Buffer): Buffer =>
  Buffer.concat(Array.from({ length: count }, (_, i) => frameOf(i)));

/** What is sent once on a connection, and then again and again until it is closed. */
const attacks: readonly (readonly [string, Buffer, Buffer])[] = [
  [
    'streams that are opened and reset',
    Buffer.alloc(0),
    // Ids only rise, so the second time all of it is wrong; the limit of resets is hit the first time.
    times(5_000, (i) =>
      Buffer.concat([open(1 + 2 * i), frame(frameTypes.reset, uint32(8), 0, 1 + 2 * i)]),
    ),
  ],
  ['pings', open(1), times(500, () => frame(frameTypes.ping, Buffer.alloc(8)))],
  [
    'settings',
    open(1),
    times(500, () => frame(frameTypes.settings, Buffer.from('000300000064', 'hex'))),
  ],
  [
    'headers without an end',
    open(1, 0),
    times(100, () => frame(frameTypes.continuation, literalHeader('x', 'y'.repeat(100)), 0, 1)),
  ],
  ['data without a byte', open(1), times(500, () => frame(frameTypes.data, Buffer.alloc(0), 0, 1))],
  ['priorities', open(1), times(500, () => frame(frameTypes.priority, Buffer.alloc(5), 0, 3))],
  [
    'windows opened beyond all bounds',
    open(1),
    frame(frameTypes.windowUpdate, uint32(2 ** 31 - 1)),
  ],
  ['streams beyond the limit', Buffer.alloc(0), times(3_000, (i) => open(1 + 2 * i))],
];

let broker: BrokerProcess;
let steady: SteadyPublisher;

beforeAll(async () => {
  broker = await BrokerProcess.start({ env: { NODE_OPTIONS: `--import ${preload.href}` } });
  steady = await SteadyPublisher.start(broker.server, 'steady');
});
afterAll(async () => {
  await steady.client.close();
  await broker[Symbol.asyncDispose]();
});

describe('memory returns, and nobody else notices, after a flood of', () => {
  for (const [what, first, again] of attacks) {
    itNeeding(
      noProcFs,
      what,
      async () => {
        const before = await settled();
        await attack(first, again, warmUpSeconds);
        const warm = await settled();
        const publishedBefore = steady.publishedCount;
        steady.takeLatencies();
        const connections = await attack(first, again, seconds);
        const latencies = steady.takeLatencies();
        expect(broker.isRunning).toBe(true);
        // Whoever was cut off came again.
        expect(connections).toBeGreaterThan(attackers);
        expect(steady.publishedCount - publishedBefore).toBeGreaterThan(seconds);
        expect(Math.max(...latencies)).toBeLessThan(servedWithinMs);
        const isBack = async (): Promise<string> => {
          const { heldMiB, processMiB } = await settled();
          const figures =
            `held ${before.heldMiB.toFixed(1)} to ${heldMiB.toFixed(1)} MiB, ` +
            `process ${warm.processMiB} to ${processMiB} MiB`;
          const isHeldBack = heldMiB <= allowedMiB(before.heldMiB, heldFloorMiB);
          const isProcessBack = processMiB <= allowedMiB(warm.processMiB, processFloorMiB);
          return `${isHeldBack && isProcessBack ? 'back' : 'kept'}: ${figures}`;
        };
        await expect.poll(isBack, { timeout: 20_000, interval: 500 }).toMatch(/^back/);
        console.log(
          `${what}, ${seconds} s: ${connections} connections, ${await isBack()}, ` +
            `slowest record ${Math.max(...latencies).toFixed(0)} ms`,
        );
        await expect
          .poll(() => metric(broker, 'millrace_connections'), { timeout: 10_000 })
          .toBe(1);
      },
      (seconds + 60) * 1_000,
    );
  }

  itNeeding(noProcFs, 'all of them, not a record is lost', async () => {
    expect(await steady.stop()).toBe('');
    expect(broker.stderr).not.toMatch(/unexpected|unhandled|assert/i);
  });
});

/** Answers how many connections it took. */
async function attack(first: Buffer, again: Buffer, forSeconds: number): Promise<number> {
  const endMs = performance.now() + forSeconds * 1_000;
  let connections = 0;
  const attacker = async (): Promise<void> => {
    while (performance.now() < endMs) {
      using tcp = await RawTcp.open(broker.server);
      connections++;
      tcp.write(Buffer.concat([http2Begin, first]));
      while (performance.now() < endMs && !(await tcp.isClosedWithin(1))) {
        await tcp.flood(again, 10);
      }
    }
  };
  await Promise.all(Array.from({ length: attackers }, () => attacker()));
  return connections;
}

interface Memory {
  /** Of the heap and beside it, when all garbage is gone. */
  readonly heldMiB: number;
  readonly processMiB: number;
}

async function settled(): Promise<Memory> {
  kill(broker.pid, 'SIGUSR2');
  // It is answered when the garbage has been collected.
  const heldBytes =
    (await metric(broker, 'nodejs_heap_size_used_bytes')) +
    (await metric(broker, 'nodejs_external_memory_bytes'));
  return { heldMiB: heldBytes / 1024 ** 2, processMiB: await anonymousMiB(broker.pid) };
}

function allowedMiB(beforeMiB: number, floorMiB: number): number {
  return beforeMiB + Math.max(beforeMiB * keptShare, floorMiB);
}
