import {ModelError} from '../../base/errors.js';

/** A regular expression of JavaScript (flag `u`) as a tree. */
export type PatternNode =
  /** One character of a set; `source` is the set as a pattern of its own: `a`, `\p{L}`, `[^\n]`. */
  | {readonly kind: 'set'; readonly source: string}
  | {readonly kind: 'sequence'; readonly parts: readonly PatternNode[]}
  | {readonly kind: 'choice'; readonly options: readonly PatternNode[]}
  /** `most` is Infinity where there is no upper limit. */
  | {readonly kind: 'repeat'; readonly body: PatternNode; readonly least: number; readonly most: number}
  /** Looks around and consumes nothing. */
  | {readonly kind: 'look'; readonly body: PatternNode};

/** Deeper than any pattern of a tokenizer, and far from what recursion could not take. */
const maxDepth = 64;

/**
 * Reads the `source` of a `RegExp` with the flag `u`: so its syntax is known to be valid.
 * @throws ModelError for back references, which no tokenizer needs, and where groups nest deeper than 64.
 */
export function parsePattern(source: string): PatternNode {
  let at = 0;

  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    const match = pattern.exec(source)?.[0];
    at += match?.length ?? 0;
    return match;
  };

  const choice = (depth: number): PatternNode => {
    if (depth > maxDepth)
      throw new ModelError(`A pattern of the tokenizer nests groups deeper than ${maxDepth}.`);
    const options = [sequence(depth)];
    while (source[at] === '|') {
      at++;
      options.push(sequence(depth));
    }
    return options.length === 1 ? options[0]! : {kind: 'choice', options};
  };

  const sequence = (depth: number): PatternNode => {
    const parts: PatternNode[] = [];
    while (at < source.length && source[at] !== '|' && source[at] !== ')') parts.push(repeated(atom(depth)));
    return {kind: 'sequence', parts};
  };

  const atom = (depth: number): PatternNode => {
    const look = take(/\(\?<?[=!]/y);
    if (look !== undefined) return {kind: 'look', body: closed(depth)};
    if (take(/\((?:\?(?::|<\w+>))?/y) !== undefined) return closed(depth);
    if (take(/\\(?:k<|[1-9])/y) !== undefined) {
      throw new ModelError('A pattern of the tokenizer refers back to a group; eigenkv takes none that do.');
    }
    if (take(/[$^]|\\[bB]/y) !== undefined) return {kind: 'look', body: {kind: 'sequence', parts: []}};
    const set =
      take(/\[(?:[^\]\\]|\\[^])*\]/y) ?? // a class: with the flag u brackets do not nest
      take(/\\(?:[pP]\{[^}]*\}|u\{[^}]*\}|u[\da-fA-F]{4}|x[\da-fA-F]{2}|c[A-Za-z])/y) ??
      take(/\\?[\ud800-\udbff][\udc00-\udfff]|\\[^]|[^]/y)!;
    return {kind: 'set', source: set};
  };

  const closed = (depth: number): PatternNode => {
    const body = choice(depth + 1);
    at++; // ")"
    return body;
  };

  const repeated = (body: PatternNode): PatternNode => {
    const sign = take(/[*+?]\??|\{\d+(?:,\d*)?\}\??/y);
    if (sign === undefined) return body;
    const [least, most] = limits(sign);
    return {kind: 'repeat', body, least, most};
  };

  return choice(0);
}

function limits(sign: string): [least: number, most: number] {
  if (sign.startsWith('*')) return [0, Infinity];
  if (sign.startsWith('+')) return [1, Infinity];
  if (sign.startsWith('?')) return [0, 1];
  const [, least, comma, most] = /(\d+)(,?)(\d*)/.exec(sign)!;
  return [Number(least), comma === '' ? Number(least) : most === '' ? Infinity : Number(most)];
}

/** Characters that a pattern consumes at least. */
export function leastLength(node: PatternNode): number {
  switch (node.kind) {
    case 'set':
      return 1;
    case 'look':
      return 0;
    case 'sequence':
      return node.parts.reduce((sum, part) => sum + leastLength(part), 0);
    case 'choice':
      return Math.min(...node.options.map(leastLength));
    case 'repeat':
      return node.least * leastLength(node.body);
  }
}
