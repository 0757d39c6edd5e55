// Writes a file of orders, one JSON object a line, the same bytes for the same seed:
//
//   node examples/orders/generate.ts [--orders N] [--seed N] [--out FILE]
//
// 100,000 orders are 41 MB. Without --out they go to standard output.
import { createWriteStream } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { parseArgs } from 'node:util';
import { generateOrders, type OrderOptions } from './order.ts';

export interface WriteOptions extends OrderOptions {
  /** Replaced when it is there. Default: standard output. */
  readonly file?: string;
}

export interface WrittenOrders {
  readonly orders: number;
  readonly bytes: number;
}

/** Lines are handed over in chunks of about this size: one write call a line is ten times slower. */
const chunkBytes = 64 * 1024;

/** Resolves when all lines are written; waits for a slow target and holds one chunk. */
export async function writeOrders({ file, ...options }: WriteOptions): Promise<WrittenOrders> {
  let bytes = 0;
  const counted = function* (): Generator<Buffer, void> {
    for (const chunk of chunksOf(options)) {
      bytes += chunk.length;
      yield chunk;
    }
  };
  const target = file === undefined ? process.stdout : createWriteStream(file);
  await pipeline(Readable.from(counted()), target);
  return { orders: options.orders, bytes };
}

function* chunksOf(options: OrderOptions): Generator<Buffer, void> {
  let chunk = '';
  for (const order of generateOrders(options)) {
    chunk += `${JSON.stringify(order)}\n`;
    if (chunk.length < chunkBytes) continue;
    yield Buffer.from(chunk);
    chunk = '';
  }
  if (chunk !== '') yield Buffer.from(chunk);
}

function integerFrom(flag: string, text: string, min: number): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < min) {
    throw new RangeError(`--${flag} is ${text}; give an integer from ${min}`);
  }
  return value;
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      orders: { type: 'string', default: '100000' },
      seed: { type: 'string', default: '1' },
      out: { type: 'string' },
    },
  });
  const orders = integerFrom('orders', values.orders, 1);
  const seed = integerFrom('seed', values.seed, 0);
  const { bytes } = await writeOrders({
    orders,
    seed,
    ...(values.out !== undefined && { file: values.out }),
  });
  if (values.out !== undefined) {
    process.stdout.write(`${orders} orders, ${bytes} bytes, in ${values.out}\n`);
  }
}

if (import.meta.main) {
  try {
    await main();
  } catch (error) {
    // Whoever reads our output has enough: `generate.ts | head`.
    const isPipeClosed = error instanceof Error && 'code' in error && error.code === 'EPIPE';
    if (!isPipeClosed) {
      process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
      process.exitCode = 2;
    }
  }
}
