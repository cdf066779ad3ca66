/**
 * Pairs of tokens that become one, by the order in which they were added: their ranks. Of two pairs the one of the lower rank goes
 * first; a pair that is added again has the later rank. A hash table with open addressing in typed arrays: large vocabularies have half
 * a million pairs, and a `Map` of objects takes four times as long to fill, and to ask.
 */
export class MergeTable {
  // twice as large whenever full: a list may claim more pairs than it has
  private lefts = new Int32Array(256);
  private rights = new Int32Array(256);
  private ids = new Int32Array(256);
  /** One more than the rank of the pair that lies there, 0 for none. */
  private slots = new Int32Array(512);
  // secret, so that no file can be made whose pairs all fall into one place
  private readonly seed = Math.floor(Math.random() * 2 ** 32);
  private count = 0;

  add(left: number, right: number, id: number): void {
    if (this.count === this.lefts.length) this.grow();
    const rank = this.count++;
    this.lefts[rank] = left;
    this.rights[rank] = right;
    this.ids[rank] = id;
    this.slots[this.slotOf(left, right)] = rank + 1;
  }

  /** Negative if the two do not become one. */
  rankOf(left: number, right: number): number {
    return this.slots[this.slotOf(left, right)]! - 1;
  }

  /** What the pair of a rank becomes. */
  idOf(rank: number): number {
    return this.ids[rank]!;
  }

  private grow(): void {
    const {lefts, rights} = this;
    this.lefts = twice(lefts);
    this.rights = twice(rights);
    this.ids = twice(this.ids);
    this.slots = new Int32Array(2 * this.slots.length);
    for (let rank = 0; rank < this.count; rank++) {
      this.slots[this.slotOf(lefts[rank]!, rights[rank]!)] = rank + 1;
    }
  }

  /** Where a pair lies, or would. */
  private slotOf(left: number, right: number): number {
    const {slots, lefts, rights} = this;
    const mask = slots.length - 1;
    let at = mixed(mixed(this.seed ^ left) ^ right) & mask;
    for (;;) {
      const rank = slots[at]! - 1;
      if (rank < 0 || (lefts[rank] === left && rights[rank] === right)) return at;
      at = (at + 1) & mask;
    }
  }
}

function twice(values: Int32Array): Int32Array<ArrayBuffer> {
  const out = new Int32Array(2 * values.length);
  out.set(values);
  return out;
}

/** A number of 32 bits whose bits all depend on all of `value` (the finaliser of MurmurHash3, Appleby 2011). */
function mixed(value: number): number {
  let bits = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return bits ^ (bits >>> 16);
}

/** In place of a symbol that became part of the one before it. */
const gone = -1;

/** Joins neighbours until none can be. `next` and `before` chain the symbols that are left. */
export function mergeAll(symbols: number[], merges: MergeTable): readonly number[] {
  if (symbols.length < 2) return symbols;
  const next = Int32Array.from(symbols, (_, i) => (i + 1 < symbols.length ? i + 1 : -1));
  const before = Int32Array.from(symbols, (_, i) => i - 1);
  const queue = new MergeQueue();
  const offer = (left: number): void => {
    if (left < 0 || next[left]! < 0) return;
    const rank = merges.rankOf(symbols[left]!, symbols[next[left]!]!);
    if (rank >= 0) queue.push(rank, left, merges.idOf(rank));
  };
  for (let i = 0; i + 1 < symbols.length; i++) offer(i);
  for (let entry = queue.pop(); entry !== undefined; entry = queue.pop()) {
    const {at, id} = entry;
    const right = symbols[at] === gone ? -1 : next[at]!;
    // its pair may have changed since it was offered
    const rank = right < 0 ? -1 : merges.rankOf(symbols[at]!, symbols[right]!);
    if (rank < 0 || merges.idOf(rank) !== id) continue;
    symbols[at] = id;
    symbols[right] = gone;
    next[at] = next[right]!;
    if (next[at] >= 0) before[next[at]] = at;
    offer(before[at]!);
    offer(at);
  }
  return symbols.filter(symbol => symbol !== gone);
}

interface Entry {
  readonly rank: number;
  readonly at: number;
  readonly id: number;
}

/** Pairs that can be joined; the one of the lowest rank first, of equal ones the leftmost. A binary heap. */
class MergeQueue {
  private readonly heap: Entry[] = [];

  push(rank: number, at: number, id: number): void {
    const {heap} = this;
    const entry = {rank, at, id};
    let i = heap.push(entry) - 1;
    while (i > 0) {
      const parent = (i - 1) >> 1;
      if (!goesBefore(entry, heap[parent]!)) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = entry;
  }

  pop(): Entry | undefined {
    const {heap} = this;
    const top = heap[0];
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return top;
    let i = 0;
    for (;;) {
      let child = 2 * i + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && goesBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!goesBefore(heap[child]!, last)) break;
      heap[i] = heap[child]!;
      i = child;
    }
    heap[i] = last;
    return top;
  }
}

function goesBefore(a: Entry, b: Entry): boolean {
  return a.rank < b.rank || (a.rank === b.rank && a.at < b.at);
}
