/** A table as a reader sees it: its heads, of one line or several, and its rows. */
export interface ReadTable {
  readonly heads: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** The tables of a text, read by the rules below their heads. Texts that take as many columns as they have characters. */
export function tablesIn(text: string): ReadTable[] {
  const lines = text.split('\n');
  return lines.flatMap((rule, at) => {
    if (!/^─[─ ]*$/.test(rule)) return [];
    const spans = [...rule.matchAll(/─+/g)].map(({0: {length}, index}) => [index, index + length] as const);
    const cells = (line: string) => spans.map(([from, to]) => line.slice(from, to).trim());
    let first = at;
    while (first > 0 && lines[first - 1] !== '') first--;
    const heads = lines.slice(first, at).map(cells);
    const rows: string[][] = [];
    for (const line of lines.slice(at + 1)) {
      if (line === '' || line.startsWith('Not shown')) break;
      rows.push(cells(line));
    }
    return [
      {
        heads: spans.map((_, i) =>
          heads
            .map(head => head[i])
            .join(' ')
            .trim(),
        ),
        rows,
      },
    ];
  });
}
