/** A pair of tokens as one number: ids are below 2^24. */
export const pairKey = (left: number, right: number): number => left * 2 ** 24 + right;

/** A pair that becomes one token, `id`; of two the one of the lower rank goes first. */
export interface Merge {
  readonly rank: number;
  readonly id: number;
}

/** In place of a symbol that became part of the one before it. */
const gone = -1;

/** Joins neighbours until none can be. `next` and `before` chain the symbols that are left. */
export function mergeAll(symbols: number[], merges: ReadonlyMap<number, Merge>): readonly number[] {
  if (symbols.length < 2) return symbols;
  const next = Int32Array.from(symbols, (_, i) => (i + 1 < symbols.length ? i + 1 : -1));
  const before = Int32Array.from(symbols, (_, i) => i - 1);
  const queue = new MergeQueue();
  const offer = (left: number): void => {
    if (left < 0 || next[left]! < 0) return;
    const merge = merges.get(pairKey(symbols[left]!, symbols[next[left]!]!));
    if (merge !== undefined) queue.push(merge.rank, left, merge.id);
  };
  for (let i = 0; i + 1 < symbols.length; i++) offer(i);
  for (let entry = queue.pop(); entry !== undefined; entry = queue.pop()) {
    const {at, id} = entry;
    const right = symbols[at] === gone ? -1 : next[at]!;
    // its pair may have changed since it was offered
    if (right < 0 || merges.get(pairKey(symbols[at]!, symbols[right]!))?.id !== id) continue;
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
