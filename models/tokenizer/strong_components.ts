/**
 * The number of the strongly connected component of each node of a directed graph (Tarjan, 1972, without recursion).
 * @param next gives the successors of a node.
 */
export function strongComponents(count: number, next: (node: number) => Iterable<number>): number[] {
  const component = new Array<number>(count).fill(-1);
  const index = new Int32Array(count).fill(-1);
  const low = new Int32Array(count);
  const open: number[] = [];
  let visited = 0;
  for (let start = 0; start < count; start++) {
    if (index[start] !== -1) continue;
    const path: {node: number; rest: Iterator<number>}[] = [];
    const enter = (node: number): void => {
      index[node] = low[node] = visited++;
      open.push(node);
      path.push({node, rest: next(node)[Symbol.iterator]()});
    };
    enter(start);
    while (path.length > 0) {
      const {node, rest} = path.at(-1)!;
      const step = rest.next();
      if (step.done !== true) {
        if (index[step.value] === -1) enter(step.value);
        else if (component[step.value] === -1) low[node] = Math.min(low[node]!, index[step.value]!);
        continue;
      }
      path.pop();
      const parent = path.at(-1)?.node;
      if (parent !== undefined) low[parent] = Math.min(low[parent]!, low[node]!);
      if (low[node] !== index[node]) continue;
      for (let member = -1; member !== node;) {
        member = open.pop()!;
        component[member] = node;
      }
    }
  }
  return component;
}
