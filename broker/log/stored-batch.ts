// A batch as it was read: its header and a view of its bytes in a cached page.
import { openPlain } from '../batch/compressed-batch.ts';
import { sliceRecords } from '../batch/records.ts';
import type { StoredHeader } from '../batch/stored-header.ts';
import type { Offset } from '../core/ids.ts';

export class StoredBatch {
  readonly header: StoredHeader;
  private readonly page: Buffer;
  private readonly bodyAt: number;

  constructor(header: StoredHeader, page: Buffer, bodyAt: number) {
    this.header = header;
    this.page = page;
    this.bodyAt = bodyAt;
  }

  get baseOffset(): Offset {
    return this.header.baseOffset;
  }

  get lastOffset(): Offset {
    return this.header.baseOffset + this.header.recordCount - 1;
  }

  /** The publisher's bytes: a canonical RecordBatch. A view; valid as long as it is held. */
  get body(): Buffer {
    return this.page.subarray(this.bodyAt, this.bodyAt + this.header.bodyBytes);
  }

  /** One record as a plain batch of its own. Throws DATA_LOSS when the batch does not open. */
  recordAt(offset: Offset): Buffer {
    const index = offset - this.header.baseOffset;
    return sliceRecords(openPlain(this.body, this.header.flags), index, index + 1);
  }
}
