// The catalog on its own journal, the shard `system`: one change at a time, visible once it is durable.
//
// Invariants:
// - The state is what the journal's events made it: nothing is applied before its commit is fsynced.
// - Changes are decided one after another, each on the state that the one before it left.
import {
  decodeCatalogCheckpoint,
  decodeCatalogEvent,
  encodeCatalogCheckpoint,
  encodeCatalogEvent,
} from '../catalog/catalog-entries.ts';
import { CatalogState, type CatalogEvent } from '../catalog/catalog-state.ts';
import { entryTypes } from '../core/entry-types.ts';
import type { Frame } from '../journal/format.ts';
import { ControlEntry } from '../journal/control-entry.ts';
import { Journal, type JournalOptions } from '../journal/journal.ts';
import type { CheckpointEntry } from './checkpoint-object.ts';
import { CheckpointUploader, type CheckpointUploaderOptions } from './checkpoint-uploader.ts';

/** How the catalog's checkpoints get into the object store. */
export type CatalogUpload = Omit<CheckpointUploaderOptions, 'entries' | 'version'>;

export interface CatalogChange {
  readonly events: readonly CatalogEvent[];
}

export const catalogShard = 'system';

export class CatalogStore {
  readonly state: CatalogState;
  readonly uploader: CheckpointUploader;
  private readonly journal: Journal;
  private changes = 0;
  private last: Promise<unknown> = Promise.resolve();
  private isChanging = false;
  private isCheckpointDue = false;
  private checkpointing: Promise<void> = Promise.resolve();

  private constructor(state: CatalogState, journal: Journal, upload: CatalogUpload) {
    this.state = state;
    this.journal = journal;
    this.uploader = new CheckpointUploader({
      ...upload,
      version: () => this.changes,
      entries: () => this.checkpointEntries(),
    });
  }

  /** `shards`: data shards that take new partitions. */
  static async open(
    options: Omit<JournalOptions, 'shard' | 'onCommitted' | 'onRoll'>,
    shards: readonly string[],
    upload: CatalogUpload,
  ): Promise<CatalogStore> {
    const state = new CatalogState(shards);
    let store: CatalogStore | undefined;
    const journal = await Journal.open(
      {
        ...options,
        shard: catalogShard,
        onCommitted() {},
        onRoll: () => store?.checkpointSoon(),
      },
      {
        indexed: () => undefined,
        replay(page: Buffer, frame: Frame) {
          const payload = Buffer.from(page.subarray(frame.guardAt, frame.bodyAt));
          if (frame.type === entryTypes.catalogEvent) state.apply(decodeCatalogEvent(payload));
          if (frame.type === entryTypes.catalogCheckpoint) {
            state.restore(decodeCatalogCheckpoint(payload));
          }
        },
      },
    );
    state.check();
    store = new CatalogStore(state, journal, upload);
    return store;
  }

  /** Decides on the present state, makes the events durable, then applies them. Throws what the plan throws. */
  change<T extends CatalogChange>(plan: (state: CatalogState) => T): Promise<T> {
    const next = this.last.then(async () => {
      const change = plan(this.state);
      this.isChanging = true;
      await Promise.all(
        change.events.map((event) =>
          this.journal.write(entryTypes.catalogEvent, encodeCatalogEvent(event)),
        ),
      );
      for (const event of change.events) this.state.apply(event);
      this.changes += change.events.length;
      this.isChanging = false;
      if (this.isCheckpointDue) this.checkpoint();
      return change;
    });
    this.last = next.catch(() => {});
    return next;
  }

  get fileBytes(): number {
    return this.journal.index.fileBytes();
  }

  get generationCount(): number {
    return this.journal.index.count;
  }

  async close(): Promise<void> {
    await this.last;
    await this.checkpointing;
    await this.journal.close();
  }

  /**
   * Between two changes, at once when none is under way: while one is, its event may stand in the journal before the
   * checkpoint's entries and yet not be in them.
   */
  private checkpointSoon(): void {
    this.isCheckpointDue = true;
    if (!this.isChanging) this.checkpoint();
  }

  /** Appends every object in one turn; what they need of older generations is then gone. */
  private checkpoint(): void {
    this.isCheckpointDue = false;
    const { journal } = this;
    const beganPage = journal.newestFirstPage;
    for (const { type, payload } of this.checkpointEntries()) {
      journal.append(new ControlEntry(type, payload, () => {}));
    }
    this.checkpointing = this.checkpointing.then(async () => {
      await journal.completeCheckpoint(beganPage);
      while (journal.mayDropOldest()) await journal.dropOldest();
    });
  }

  private checkpointEntries(): CheckpointEntry[] {
    return [...this.state.checkpoint()].map((object) => ({
      type: entryTypes.catalogCheckpoint,
      payload: encodeCatalogCheckpoint(object),
    }));
  }
}
