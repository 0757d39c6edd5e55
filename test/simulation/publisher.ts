// A publisher that never gives up: after a crash it sends again what it has no answer for, under the same sequence.
import type { PartitionLog } from '../../broker/log/partition-log.ts';
import type { Event } from './history.ts';
import { batchOf } from './one-record-batch.ts';

export class SimulatedPublisher {
  private readonly name: string;
  private readonly history: Event[];
  private epoch = 0;
  private lastNumber = 0;
  private isOpen = false;
  /** Sent and not answered, in their order. */
  private unanswered: number[] = [];

  constructor(name: string, history: Event[]) {
    this.name = name;
    this.history = history;
  }

  /** Opens again and sends again. Whether the open settles is up to the disk. */
  async open(log: PartitionLog, nowMs: number): Promise<void> {
    this.epoch = Math.max(this.epoch, (log.publishers.named(this.name)?.epoch ?? 0) + 1);
    void log.openPublisher(this.name, this.epoch, nowMs).then(() => {
      this.isOpen = true;
      for (const number of this.unanswered) this.send(log, number, nowMs);
    });
  }

  publish(log: PartitionLog, nowMs: number): void {
    if (!this.isOpen) return;
    this.unanswered.push(++this.lastNumber);
    this.send(log, this.lastNumber, nowMs);
  }

  /** Sends again what it has no answer for, as a client does whose connection was cut. */
  repeat(log: PartitionLog, nowMs: number): void {
    if (!this.isOpen) return;
    for (const number of this.unanswered) this.send(log, number, nowMs);
  }

  /** The broker is gone: whether the unanswered ones were stored is not known. */
  lost(): void {
    this.isOpen = false;
  }

  private send(log: PartitionLog, number: number, nowMs: number): void {
    const value = `${this.name} ${number}`;
    log.append(
      {
        publisher: { name: this.name, epoch: this.epoch },
        sequence: number,
        expectedOffset: undefined,
        body: batchOf(value),
        recordCount: 1,
        compressed: false,
        keyed: false,
      },
      nowMs,
      (offset) => {
        this.unanswered = this.unanswered.filter((other) => other !== number);
        this.history.push({ kind: 'confirmed', offset, value });
      },
    );
  }
}
