// Memory of a process. What it maps of files is the page cache's, and not counted.
import { readFile } from 'node:fs/promises';

export const noProcFs = process.platform === 'linux' ? undefined : 'reading /proc needs Linux';

export async function anonymousMiB(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Math.round(Number(/RssAnon:\s+(\d+)/.exec(status)?.[1] ?? Number.NaN) / 1024);
}
