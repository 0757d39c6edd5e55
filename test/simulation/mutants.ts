// Known bugs of this field, each as a change of one place in a source file. Production code has no switches: the change
// is made when the file is loaded (mutate.ts). `find` must occur exactly once, so that no mutant goes stale.

export interface Mutant {
  readonly name: string;
  /** Below broker/. */
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

export const mutants: readonly Mutant[] = [
  {
    name: 'confirms before the write has settled',
    file: 'journal/journal.ts',
    find: 'await generation.file.write(rows);\n    this.commits++;',
    replace: 'void generation.file.write(rows);\n    this.commits++;',
  },
  {
    name: 'shows records before they are durable',
    file: 'log/partition-log.ts',
    find: 'this.nextOffset = baseOffset + recordCount;\n    this.lastAppendTimeMs',
    replace:
      'this.nextOffset = baseOffset + recordCount;\n    whenDurable(baseOffset, recordCount, false);\n    this.lastAppendTimeMs',
  },
  {
    name: 'recovery skips the last page',
    file: 'journal/recovery.ts',
    find: 'for (let number = first; number <= last; number++) {',
    replace: 'for (let number = first; number < last; number++) {',
  },
  {
    name: 'forgets sequences at a restart',
    file: 'log/partition-log.ts',
    find: 'this.publishers.record(publisher, sequence, baseOffset, recordCount, appendTimeMs);',
    replace: '',
  },
  {
    name: 'a checkpoint forgets publishers',
    file: 'log/partition-log.ts',
    find: 'publishers: [...this.publishers.all()],',
    replace: 'publishers: [],',
  },
  {
    name: 'answers a repeat before the first append is durable',
    file: 'log/partition-log.ts',
    find: 'if (offset < this.endOffset) callback();',
    replace: 'if (offset < Infinity) callback();',
  },
  {
    name: 'acks are not journaled',
    file: 'subscription/queue-dispatcher.ts',
    find: 'if (acked.length > 0) this.journal.acks(acked);',
    replace: '',
  },
  {
    name: 'an ack is confirmed before it is durable',
    file: 'journal/journal.ts',
    find: 'return this.write(journalTypes.barrier, new Uint8Array(0));',
    replace: 'return Promise.resolve();',
  },
  {
    name: 'attempts are not journaled',
    file: 'subscription/queue-journal.ts',
    find: 'if (runs.length === 0) return;',
    replace: 'if (runs.length >= 0) return;',
  },
  {
    name: 'a seek is not journaled',
    file: 'subscription/queue-dispatcher.ts',
    find: "await journal.write({ kind: 'seek', subscriptionId, partitionId, offset, fence });",
    replace: 'void [journal, subscriptionId, partitionId, fence];',
  },
  {
    name: 'recovery moves the cursor past what is not acked',
    file: 'subscription/queue-recovery.ts',
    find: 'this.acks.add(range.first, range.last);',
    replace: 'this.acks.add(this.acks.floor, range.last);',
  },
  {
    name: 'retention removes what is not acked',
    file: 'log/retention-plan.ts',
    find: 'const owed = Math.min(windowStart, facts.ackedBelow);',
    replace: 'const owed = windowStart;',
  },
  {
    name: 'unlinks a generation that still holds kept records',
    file: 'shard/hot-plan.ts',
    find: 'if (!part.isOffloaded) return false;',
    replace: '',
  },
  {
    name: 'a missed deadline loses the record',
    file: 'subscription/queue-state.ts',
    find: 'this.retries.put(runFirst, runLast, attempts, readyAtMs, entry);',
    replace: '',
  },
  {
    name: 'a checkpoint puts back the start of before the trim',
    file: 'log/partition-log.ts',
    find: 'startOffset: this.trimmedTo,',
    replace: 'startOffset: 0,',
  },
  {
    name: 'a checkpoint says complete before its objects are written',
    file: 'shard/checkpointer.ts',
    find: 'bytes += object.write();',
    replace: 'bytes += 1;',
  },
  {
    name: 'records a segment without reading it back',
    file: 'tier/segment-writer.ts',
    find: 'await this.verify(key, built);',
    replace: '',
  },
  {
    name: 'recovery forgets what was offloaded',
    file: 'shard/shard-recovery.ts',
    find: 'for (const { partition, row } of segments) this.log(partition).addSegment(tenant, row);',
    replace: 'void tenant, segments;',
  },
  {
    name: 'a checkpoint forgets the manifest',
    file: 'log/partition-log.ts',
    find: 'manifest: this.manifest,',
    replace: 'manifest: new Manifest(),',
  },
  {
    name: 'garbage collection looks past manifest pages',
    file: 'tier/garbage.ts',
    find: 'for (const key of await page.read()) keys.add(key);',
    replace: 'void page;',
  },
  {
    name: 'garbage collection takes what is in flight',
    file: 'tier/garbage.ts',
    find: 'return object.number <= pending.lastNumber && !pending.inFlight.has(object.number);',
    replace: 'return true;',
  },
  {
    name: 'garbage collection takes what is referred to',
    file: 'tier/garbage.ts',
    find: 'if (object === undefined || keys.has(key) || ',
    replace: 'if (object === undefined || ',
  },
  {
    name: 'wrong bytes from the store are handed out',
    file: 'tier/cold-block.ts',
    find: 'this.isIntact = bytes.length === block.length && crc32(bytes) === block.crc;',
    replace: 'this.isIntact = true;',
  },
  {
    name: 'a manifest page is forgotten',
    file: 'tier/manifest.ts',
    find: 'this.pagePointers.push(pointer);',
    replace: '',
  },
  {
    name: 'retention drops a segment that holds kept records',
    file: 'tier/manifest.ts',
    find: 'this.newest.dropFirst(this.newest.indexOf(startOffset));',
    replace:
      'this.newest.dropFirst(Math.min(this.newest.indexOf(startOffset) + 1, this.newest.count));',
  },
  {
    name: 'an offload begins a batch late',
    file: 'shard/offloader.ts',
    find: 'const run = this.cut(log, Math.max(ends.get(partition) ?? 0, log.offloadedEnd), bytesMax);',
    replace:
      'const run = this.cut(log, Math.max(ends.get(partition) ?? 0, log.offloadedEnd + 1), bytesMax);',
  },
];
