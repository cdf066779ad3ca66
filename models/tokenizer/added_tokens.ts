import {leadingSpaces, trailingSpaces, wordCharacters} from './steps/characters.js';
import {type Part, slicePart} from './steps/part.js';
import type {AddedToken} from './tokenizer_json.js';

/** A part of a text, or an added token that was found in it. */
export type Section = Part | {readonly id: number};

/** Finds added tokens in a part. */
export type AddedTokenFinder = (part: Part, parseSpecial: boolean) => Section[];

interface Node {
  readonly children: Map<number, Node>;
  token?: AddedToken;
}

const wordBehind = new RegExp(`^[${wordCharacters}]`, 'u');
const wordBefore = new RegExp(`[${wordCharacters}]$`, 'u');

/**
 * Finds tokens by their spelling: the leftmost, and among those at the same place the longest. `single_word` takes a token only if no
 * letter or digit touches it; `lstrip` and `rstrip` take the white space around it with it.
 */
export function addedTokenFinder(spellings: readonly (readonly [string, AddedToken])[]): AddedTokenFinder {
  const root = treeOf(spellings);
  if (root.children.size === 0) return part => [part];
  return (part, parseSpecial) => {
    const {text} = part;
    const sections: Section[] = [];
    let done = 0;
    for (const {token, begin, end} of occurrences(root, text)) {
      if ((token.special && !parseSpecial) || (token.singleWord && touchesWord(text, begin, end))) continue;
      const start = token.lstrip ? Math.max(begin - trailingSpaces(text, begin), done) : begin;
      if (done < start) sections.push(slicePart(part, done, start));
      done = token.rstrip ? end + leadingSpaces(text.slice(end)) : end;
      // the token before may have taken white space
      if (start < done) sections.push({id: token.id});
    }
    if (done < text.length) sections.push(slicePart(part, done, text.length));
    return sections;
  };
}

function treeOf(spellings: readonly (readonly [string, AddedToken])[]): Node {
  const root: Node = {children: new Map()};
  for (const [spelling, token] of spellings) {
    let node = root;
    for (let i = 0; i < spelling.length; i++) {
      const code = spelling.charCodeAt(i);
      let child = node.children.get(code);
      if (child === undefined) node.children.set(code, (child = {children: new Map()}));
      node = child;
    }
    if (node !== root) node.token = token;
  }
  return root;
}

interface Occurrence {
  readonly token: AddedToken;
  readonly begin: number;
  readonly end: number;
}

/** The leftmost, and among those that begin at the same place the longest; none begins inside another. */
function* occurrences(root: Node, text: string): Generator<Occurrence> {
  for (let at = 0; at < text.length;) {
    const found = longestAt(root, text, at);
    if (found !== undefined) yield found;
    at = found?.end ?? at + 1;
  }
}

function longestAt(root: Node, text: string, begin: number): Occurrence | undefined {
  let longest: Occurrence | undefined;
  let node: Node | undefined = root;
  for (let end = begin; node !== undefined && end < text.length;) {
    node = node.children.get(text.charCodeAt(end++));
    if (node?.token !== undefined) longest = {token: node.token, begin, end};
  }
  return longest;
}

function touchesWord(text: string, start: number, end: number): boolean {
  return (
    wordBefore.test(text.slice(Math.max(0, start - 2), start)) || wordBehind.test(text.slice(end, end + 2))
  );
}
