// What a directory's failure means, in words that say what to do.
import { BrokerError, type ErrorEffect } from '../core/errors.ts';

/** What to do, by the code of the operating system. */
const advice: Readonly<Record<string, string>> = {
  ENOSPC: 'the volume is full: enlarge it or shorten retention; it is tried again',
  EDQUOT: 'the quota of the volume is used up: raise it or shorten retention; it is tried again',
  EFBIG: 'the file may not become so large: raise the limit on file sizes; it is tried again',
  EROFS: 'the volume is read-only: look why and mount it for writing; it is tried again',
  EACCES: "give the broker's user the right to read and write there",
  EPERM: "give the broker's user the right to read and write there",
  EIO: 'look at the disk and the log of the system',
  ENOTDIR: 'a file is where a directory must be: correct --object-store',
  EMFILE: 'too many files are open: raise the limit of open files',
  ENFILE: 'too many files are open: raise the limit of open files',
};

export function directoryFailure(what: string, effect: ErrorEffect, cause: unknown): BrokerError {
  const text = cause instanceof Error ? cause.message : String(cause);
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'no_code';
  const next = advice[code] ?? 'it is tried again';
  return new BrokerError('STORE_FAILED', `object store: ${what} failed: ${text}; ${next}`, {
    effect,
    metadata: { code },
    cause,
  });
}
