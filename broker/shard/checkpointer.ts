// Writes a fuzzy checkpoint: each object of a shard as an entry of its own, a few at a time behind the commits.
//
//   idle ──roll──▶ writing ──last object durable──▶ idle
//
// Invariants:
// - An entry is made and appended in one turn of the event loop, so its place in the journal is exactly what it
//   includes. Objects made after the checkpoint began have their own first entry after its beginning.
// - At most `checkpointBytesPerStep` per step: about 10 % of a full commit.
import type { PartitionId } from '../core/ids.ts';
import { limits } from '../core/limits.ts';

export interface CheckpointTarget {
  /** First page of the generation that begins with this checkpoint. */
  beganPage(): number;
  /** The objects there are now. */
  objects(): Iterable<CheckpointObject>;
  /** All objects are durable from `beganPage` on. */
  complete(beganPage: number): Promise<void>;
}

export interface CheckpointObject {
  readonly partition: PartitionId;
  /** Appends the object's entry unless the object is gone. Answers its bytes. */
  write(): number;
}

export class Checkpointer {
  private readonly target: CheckpointTarget;
  private remaining: CheckpointObject[] | undefined;
  private beganPage = 0;
  private again = false;

  constructor(target: CheckpointTarget) {
    this.target = target;
  }

  get isWriting(): boolean {
    return this.remaining !== undefined;
  }

  /** A generation was begun. While a checkpoint is written another one follows it. */
  begin(): void {
    if (this.remaining !== undefined) {
      this.again = true;
      return;
    }
    this.beganPage = this.target.beganPage();
    this.remaining = [...this.target.objects()];
    this.step();
  }

  /** Writes some more; called after each commit, and by a timer while nothing is committed. */
  step(): void {
    const { remaining } = this;
    if (remaining === undefined) return;
    let bytes = 0;
    while (bytes < limits.checkpointBytesPerStep) {
      const object = remaining.pop();
      if (object === undefined) break;
      bytes += object.write();
    }
    if (remaining.length > 0) return;
    this.remaining = undefined;
    void this.target.complete(this.beganPage).then(() => {
      if (!this.again) return;
      this.again = false;
      this.begin();
    });
  }
}
