// One figure of a broker's metrics.
import type { BrokerProcess } from './broker-process.ts';

/** `series`: the name, with labels as they are printed. NaN: there is no such series. */
export async function metric(broker: BrokerProcess, series: string): Promise<number> {
  const text = await broker.metrics();
  const line = text.split('\n').find((each) => each.startsWith(`${series} `));
  return Number(line?.slice(series.length + 1) ?? Number.NaN);
}
