// The audit log: files of chained lines, the newest at the path, older ones as path.1, path.2 ...
//
// Invariants:
// - No call waits for it. Lines that cannot be written wait, up to a bound; beyond it they are counted, and the count
//   is a line.
// - A file and their number are bounded; the chain goes on from file to file and over restarts.
// - It holds names and outcomes, never a credential or anything else of a request.
import { mkdir, open, readFile, rename, rm, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Clock } from '../core/clock.ts';
import { limits } from '../core/limits.ts';
import type { Log } from '../core/log.ts';
import { chainedLine, chainStart, hashOfLine, type AuditEntry } from './audit-chain.ts';
import { DenialsState, type DenialCount } from './denials-state.ts';

export type AuditEvent = Omit<AuditEntry, 'time' | 'count' | 'since'>;

/** Where the gate tells what it decided. */
export interface Audit {
  denied(event: AuditEvent): void;
  /** An administrative call, done or failed. */
  done(event: AuditEvent): void;
}

export const noAudit: Audit = { denied() {}, done() {} };

export interface AuditLogOptions {
  readonly path: string;
  readonly clock: Clock;
  readonly log: Log;
}

const tellCountsMs = 5_000;
/** A file outgrows its bound by so many lines at most. */
const linesPerWrite = 64;

export class AuditLog implements Audit {
  private readonly options: AuditLogOptions;
  private readonly denials = new DenialsState();
  /** Undefined: it is opened again with the next line. */
  private file: FileHandle | undefined;
  private fileBytes: number;
  private last: string;
  private pending: string[] = [];
  private lost = 0;
  private writing: Promise<void> | undefined;
  private isFailing = false;
  private isClosed = false;

  private constructor(options: AuditLogOptions, file: FileHandle, bytes: number, last: string) {
    this.options = options;
    this.file = file;
    this.fileBytes = bytes;
    this.last = last;
  }

  static async open(options: AuditLogOptions): Promise<AuditLog> {
    const { path } = options;
    await mkdir(dirname(path), { recursive: true });
    const file = await open(path, 'a', 0o600);
    const text = await readText(path);
    // A line that a crash cut off was told to nobody.
    const whole = text.slice(0, text.lastIndexOf('\n') + 1);
    if (whole.length < text.length) await file.truncate(Buffer.byteLength(whole));
    const lastLine = lastLineOf(whole) ?? lastLineOf(await readText(`${path}.1`));
    const last = lastLine === undefined ? chainStart : hashOfLine(lastLine);
    const audit = new AuditLog(options, file, Buffer.byteLength(whole), last);
    audit.tellCountsLater();
    return audit;
  }

  denied(event: AuditEvent): void {
    const nowMs = this.options.clock.wallMs();
    this.tellCounts(this.denials.take(nowMs));
    const caller = event.principal === '' ? hostOf(event.address) : event.principal;
    if (this.denials.admit(caller, nowMs)) this.done(event);
  }

  done(event: AuditEvent): void {
    this.append({ time: this.now(), ...event });
  }

  async close(): Promise<void> {
    this.isClosed = true;
    this.tellCounts(this.denials.take(this.options.clock.wallMs(), true));
    await this.writing;
    await this.file?.close();
  }

  private append(entry: AuditEntry): void {
    if (this.pending.length >= limits.auditLinesPendingMax) {
      this.lost++;
      return;
    }
    const line = chainedLine(entry, this.last);
    this.last = hashOfLine(line);
    this.pending.push(line);
    this.startWriting();
  }

  private startWriting(): void {
    this.writing ??= this.write().finally(() => (this.writing = undefined));
  }

  private async write(): Promise<void> {
    while (this.pending.length > 0) {
      const lines = this.pending.splice(0, linesPerWrite);
      try {
        await this.writeLines(lines);
        this.isFailing = false;
      } catch (error) {
        // They keep their place in the chain, and are tried again.
        this.pending = [...lines, ...this.pending];
        this.tellFailure(error);
        return;
      }
      this.tellLost();
    }
  }

  private async writeLines(lines: readonly string[]): Promise<void> {
    const text = `${lines.join('\n')}\n`;
    if (this.fileBytes > limits.auditFileBytesMax) await this.rotate();
    this.file ??= await open(this.options.path, 'a', 0o600);
    // Half a line that a full disk left.
    if (this.isFailing) await this.file.truncate(this.fileBytes);
    await this.file.appendFile(text);
    this.fileBytes += Buffer.byteLength(text);
  }

  private async rotate(): Promise<void> {
    const { path } = this.options;
    await this.file?.close();
    this.file = undefined;
    await rm(`${path}.${limits.auditFilesMax - 1}`, { force: true });
    for (let n = limits.auditFilesMax - 2; n >= 0; n--) {
      const from = n === 0 ? path : `${path}.${n}`;
      await rename(from, `${path}.${n + 1}`).catch(ignoreMissing);
    }
    this.fileBytes = 0;
  }

  private tellCountsLater(): void {
    this.options.clock.after(tellCountsMs, () => {
      if (this.isClosed) return;
      this.tellCounts(this.denials.take(this.options.clock.wallMs()));
      this.startWriting();
      this.tellCountsLater();
    });
  }

  private tellCounts(counts: readonly DenialCount[]): void {
    for (const { caller, count, sinceMs } of counts) {
      const since = isoTime(sinceMs);
      const event = { principal: caller, address: '', rpc: '', scope: '', outcome: 'MORE_DENIALS' };
      this.append({ time: this.now(), ...event, count, since });
    }
  }

  private tellLost(): void {
    if (this.lost === 0) return;
    const count = this.lost;
    this.lost = 0;
    const event = { principal: '', address: '', rpc: '', scope: '', outcome: 'LINES_LOST' };
    this.append({ time: this.now(), ...event, count });
  }

  private tellFailure(error: unknown): void {
    if (this.isFailing) return;
    this.isFailing = true;
    const cause = error instanceof Error ? error.message : String(error);
    this.options.log.error('the audit log cannot be written', { path: this.options.path, cause });
  }

  private now(): string {
    return isoTime(this.options.clock.wallMs());
  }
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString();
}

function lastLineOf(text: string): string | undefined {
  const lines = text.trimEnd().split('\n');
  const last = lines.at(-1);
  return last === '' ? undefined : last;
}

/** Without the port, which differs with every connection. */
function hostOf(address: string): string {
  return address.slice(0, Math.max(0, address.lastIndexOf(':')));
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    ignoreMissing(error);
    return '';
  }
}

function ignoreMissing(error: unknown): void {
  if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
}
