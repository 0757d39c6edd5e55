// What the broker says of itself in its metrics: memory, processor time, records.

/** `metricsUrl`: of GET /metrics. Undefined: not known. */
export async function residentMiB(metricsUrl: string | undefined): Promise<number | undefined> {
  if (metricsUrl === undefined) return undefined;
  const bytes = figureIn(await textOf(metricsUrl), 'process_resident_memory_bytes');
  return bytes === undefined ? undefined : Math.round(bytes / 1024 ** 2);
}

/** Since its start. */
export interface Work {
  readonly cpuSeconds: number;
  readonly records: number;
}

export async function workDone(metricsUrl: string): Promise<Work> {
  const text = await textOf(metricsUrl);
  const cpuSeconds = figureIn(text, 'process_cpu_seconds_total') ?? Number.NaN;
  const records = figureIn(text, 'millrace_published_records_total') ?? Number.NaN;
  return { cpuSeconds, records };
}

async function textOf(metricsUrl: string): Promise<string> {
  return (await fetch(metricsUrl)).text();
}

function figureIn(text: string, name: string): number | undefined {
  const figure = new RegExp(`^${name} (\\S+)`, 'm').exec(text)?.[1];
  return figure === undefined ? undefined : Number(figure);
}
