// The broker's resident memory, as its own metrics tell it.

/** `metricsUrl`: of GET /metrics. Undefined: not known. */
export async function residentMiB(metricsUrl: string | undefined): Promise<number | undefined> {
  if (metricsUrl === undefined) return undefined;
  const text = await (await fetch(metricsUrl)).text();
  const bytes = /^process_resident_memory_bytes (\S+)/m.exec(text)?.[1];
  return bytes === undefined ? undefined : Math.round(Number(bytes) / 1024 ** 2);
}
