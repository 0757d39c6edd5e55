// The journal's sealed batches as the tier reads them.
//
// Invariant: every batch that is handed out has the bytes that its publisher sent. A segment's blocks get checksums of
// their own over what is read here: unchecked, they would certify a bit that flipped on the disk.
import { bodyIsIntact, decodeStoredHeader, type StoredHeader } from '../batch/stored-header.ts';
import { entryTypes } from '../core/entry-types.ts';
import { BrokerError } from '../core/errors.ts';
import { pageHeaderBytes, readFrame } from '../journal/format.ts';
import type { Journal } from '../journal/journal.ts';
import type { SealedBatches, SealedRun } from '../tier/segment-writer.ts';

export function sealedBatches(journalOf: () => Journal): SealedBatches {
  return {
    async read(runs, each) {
      const byPartition = new Map<number, SealedRun>(runs.map((run) => [run.partition, run]));
      const streams = runs.map(({ partition, firstOffset, lastOffset }) => ({
        stream: partition,
        first: firstOffset,
        last: lastOffset,
      }));
      for await (const page of journalOf().pages.sealedPages(streams)) {
        for (let at = pageHeaderBytes; at < page.length;) {
          const frame = readFrame(page, at);
          if (frame === undefined) throw damagedPage(at);
          at = frame.end;
          if (frame.type !== entryTypes.batch) continue;
          const header = decodeStoredHeader(page, frame.guardAt);
          if (header === undefined) throw damagedPage(frame.at);
          const run = byPartition.get(header.partitionId);
          if (run === undefined || header.baseOffset < run.firstOffset) continue;
          if (header.baseOffset > run.lastOffset) continue;
          if (!bodyIsIntact(header, page, frame.bodyAt)) throw damagedBatch(header);
          each(header, page.subarray(frame.guardAt, frame.end));
        }
      }
    },
  };
}

function damagedBatch({ partitionId, baseOffset, recordCount }: StoredHeader): BrokerError {
  const lastOffset = baseOffset + recordCount - 1;
  return new BrokerError(
    'DATA_LOSS',
    `offsets ${baseOffset} to ${lastOffset} of partition id ${partitionId} have damaged bytes in the journal; restore ` +
      'the volume from a backup: what is damaged is neither offloaded nor dropped',
    {
      metadata: {
        partition_id: String(partitionId),
        first_offset: String(baseOffset),
        last_offset: String(lastOffset),
      },
    },
  );
}

function damagedPage(at: number): BrokerError {
  return new BrokerError(
    'DATA_LOSS',
    `a sealed page of the journal is damaged at byte ${at}; restore the volume from a backup: what is damaged is ` +
      'neither offloaded nor dropped',
  );
}
