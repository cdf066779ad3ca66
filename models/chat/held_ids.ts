import type {Tokenizer} from '../tokenizer/index.js';

/** A place where a text ends between two ids. */
interface Mark {
  /** Characters before it. */
  readonly text: number;
  /** Ids before it. */
  readonly ids: number;
}

/**
 * The ids in the cache of a chat, and the text of the template that they stand for. Ids that a model generated are often not those that the
 * tokenizer gives their text, so that a text that is encoded again would not find them; marks say where they lie.
 */
export interface HeldIds {
  readonly ids: readonly number[];
  /** As far as the last mark, the text of the ids. */
  readonly text: string;
  /** Ascending: the ends of prompts and answers. */
  readonly marks: readonly Mark[];
}

export const nothingHeld: HeldIds = {ids: [], text: '', marks: []};

/**
 * The ids of a rendered conversation. As far as it begins with the text that is held, they are the ids that are held; the rest is encoded as part
 * of the whole text, so that nothing depends on where it is cut. A mark counts only where the tokenizer cuts the text, too.
 */
export function idsOfRendered(
  tokenizer: Tokenizer,
  text: string,
  held: HeldIds,
): {readonly ids: readonly number[]; readonly marks: readonly Mark[]} {
  const encode = (part: string) => tokenizer.encode(part, {addSpecial: false});
  const encoded = encode(text);
  const same = commonPrefix(text, held.text);
  for (const mark of held.marks.toReversed()) {
    if (mark.text > same) continue;
    const before = encode(text.slice(0, mark.text));
    if (commonPrefix(before, encoded) < before.length) continue;
    return {
      ids: [...held.ids.slice(0, mark.ids), ...encoded.slice(before.length)],
      marks: held.marks.filter(({text: end}) => end <= mark.text),
    };
  }
  return {ids: encoded, marks: []};
}

/** What is held when only the first ids are left. */
export function firstHeld({ids, text, marks}: HeldIds, count: number): HeldIds {
  return {ids: ids.slice(0, count), text, marks: marks.filter(mark => mark.ids <= count)};
}

/** How many entries two lists begin with in common. */
export function commonPrefix<Entry>(a: ArrayLike<Entry>, b: ArrayLike<Entry>): number {
  const most = Math.min(a.length, b.length);
  let count = 0;
  while (count < most && a[count] === b[count]) count++;
  return count;
}
