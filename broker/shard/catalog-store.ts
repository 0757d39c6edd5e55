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
import { Journal, type JournalOptions } from '../journal/journal.ts';

export interface CatalogChange {
  readonly events: readonly CatalogEvent[];
}

export const catalogShard = 'system';

export class CatalogStore {
  readonly state: CatalogState;
  private readonly journal: Journal;
  private last: Promise<unknown> = Promise.resolve();

  private constructor(state: CatalogState, journal: Journal) {
    this.state = state;
    this.journal = journal;
  }

  /** `shards`: data shards that take new partitions. */
  static async open(
    options: Omit<JournalOptions, 'shard' | 'onCommitted' | 'onRoll'>,
    shards: readonly string[],
  ): Promise<CatalogStore> {
    const state = new CatalogState(shards);
    let store: CatalogStore | undefined;
    const journal = await Journal.open(
      {
        ...options,
        shard: catalogShard,
        onCommitted() {},
        onRoll: () => void store?.checkpoint(),
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
    store = new CatalogStore(state, journal);
    return store;
  }

  /** Decides on the present state, makes the events durable, then applies them. Throws what the plan throws. */
  change<T extends CatalogChange>(plan: (state: CatalogState) => T): Promise<T> {
    const next = this.last.then(async () => {
      const change = plan(this.state);
      await Promise.all(
        change.events.map((event) =>
          this.journal.write(entryTypes.catalogEvent, encodeCatalogEvent(event)),
        ),
      );
      for (const event of change.events) this.state.apply(event);
      return change;
    });
    this.last = next.catch(() => {});
    return next;
  }

  get fileBytes(): number {
    return this.journal.fileBytes;
  }

  get generationCount(): number {
    return this.journal.views().length;
  }

  async close(): Promise<void> {
    await this.last;
    await this.journal.close();
  }

  private async checkpoint(): Promise<void> {
    const beganPage = this.journal.newestFirstPage;
    for (const object of this.state.checkpoint()) {
      void this.journal.write(entryTypes.catalogCheckpoint, encodeCatalogCheckpoint(object));
    }
    await this.journal.completeCheckpoint(beganPage);
    while (this.journal.mayDropOldest()) await this.journal.dropOldest();
  }
}
