// Checks the audit log's files, oldest first: that each line names the hash of the one before it.
import { readFile } from 'node:fs/promises';
import { checkChain } from './access/audit-chain.ts';
import { limits } from './core/limits.ts';

export interface AuditCheck {
  readonly lines: number;
  readonly files: number;
  /** Undefined: none. */
  readonly broken: { readonly file: string; readonly line: number } | undefined;
}

/** `path`: the newest file. */
export async function checkAuditLog(path: string): Promise<AuditCheck> {
  let previous: string | undefined;
  let lines = 0;
  let files = 0;
  for (let n = limits.auditFilesMax - 1; n >= 0; n--) {
    const file = n === 0 ? path : `${path}.${n}`;
    const text = await readIfThere(file);
    if (text === undefined) continue;
    files++;
    const check = checkChain(text.split('\n').slice(0, -1), previous);
    lines += check.lines;
    if (check.brokenAtLine !== undefined) {
      return { lines, files, broken: { file, line: check.brokenAtLine } };
    }
    previous = check.last;
  }
  return { lines, files, broken: undefined };
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
