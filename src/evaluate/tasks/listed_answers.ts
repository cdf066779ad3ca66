/**
 * The answers in a cell of CSV, which may hold a list as JSON, Python or NumPy write it: `["a", 2]`, `['a', 2]`, `['a' 'b']`. Anything else is
 * one answer, such as `[1 to 3]`. What is neither text nor number in a list is null here.
 */
export function listedAnswers(cell: string): unknown[] {
  const listed = cell.trim();
  if (!listed.startsWith('[') || !listed.endsWith(']')) return [cell];
  const inside = listed.slice(1, -1).trim();
  const items: unknown[] = [];
  const separator = /\s*(?:,\s*|(?=['"])|$)/y;
  while (separator.lastIndex < inside.length) {
    const item = itemAt(inside, separator.lastIndex);
    if (item === undefined) return [cell];
    items.push(item.value);
    separator.lastIndex = item.end;
    if (!separator.test(inside)) return [cell];
  }
  return items;
}

interface Item {
  readonly value: string | null;
  /** The index of what follows. */
  readonly end: number;
}

function itemAt(text: string, start: number): Item | undefined {
  if (text[start] === "'" || text[start] === '"') return quotedAt(text, start);
  const bare = /(?<number>[-+]?\d[\d.]*)|None|null|True|true|False|false/y;
  bare.lastIndex = start;
  const groups = bare.exec(text)?.groups;
  return groups && {value: groups['number'] ?? null, end: bare.lastIndex};
}

/** Character by character: a regular expression with escapes in a repetition takes a stack as deep as the text is long. */
function quotedAt(text: string, start: number): Item | undefined {
  const quote = text[start];
  let end = start + 1;
  while (end < text.length && text[end] !== quote) end += text[end] === '\\' ? 2 : 1;
  return end < text.length ? {value: unescaped(text.slice(start + 1, end)), end: end + 1} : undefined;
}

const escapes: Readonly<Record<string, string>> = {b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', '\n': ''};

/** A text between the quotes of JSON or Python, without its escapes. */
function unescaped(quoted: string): string {
  return quoted.replaceAll(
    /\\(?:x([\da-f]{2})|u([\da-f]{4})|U(000[\da-f]{5}|0010[\da-f]{4})|([^]))/gi,
    (_, byte: string | undefined, short: string | undefined, long: string | undefined, other: string) => {
      const code = byte ?? short ?? long;
      return code === undefined ? (escapes[other] ?? other) : String.fromCodePoint(parseInt(code, 16));
    },
  );
}
