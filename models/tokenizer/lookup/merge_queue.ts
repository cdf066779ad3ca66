interface Entry {
  readonly rank: number;
  readonly at: number;
  readonly id: number;
}

/** Pairs that can be joined; the one of the lowest rank first, of equal ones the leftmost. A binary heap. */
export class MergeQueue {
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
