import {byteToken} from '../steps/decoders.js';
import type {Fields} from '../steps/fields.js';
import {eachPair} from './bpe.js';
import type {Lookup} from './lookup.js';

/** What a lookup is made of. */
export interface LookupSource {
  readonly model: Fields;
  readonly vocabulary: ReadonlyMap<string, number>;
}

/** Half of a surrogate pair, which no text that is looked up contains. */
const unspelled = '\ud800';

/**
 * A lookup that never gives a special token of the model's own vocabulary (`</s>` of a unigram model) for a text that spells it:
 * such a text is looked up as any other. What is unknown still becomes the unknown token. Python's library has no such lookup.
 *
 * @param lookup of `source`; asked first, as few texts spell a special token.
 * @param special spellings of special tokens.
 */
export function withoutSpecial(
  lookup: Lookup,
  source: LookupSource,
  special: ReadonlySet<string>,
  make: (source: LookupSource) => Lookup,
): Lookup {
  const {vocabulary} = source;
  // bytes are found by the spelling of their tokens
  const hidden = new Map(
    [...special].flatMap(token => {
      const id = byteToken.test(token) ? undefined : vocabulary.get(token);
      return id === undefined ? [] : [[token, id] as const];
    }),
  );
  const hiddenIds = new Set(hidden.values());
  let plain: Lookup | undefined;
  return part => {
    const ids = lookup(part);
    if (!ids.some(id => hiddenIds.has(id))) return ids;
    plain ??= make(withHidden(source, hidden));
    return plain(part);
  };
}

/** The same with tokens spelled as no text is. */
function withHidden({model, vocabulary}: LookupSource, hidden: ReadonlyMap<string, number>): LookupSource {
  const spell = (token: string): string => (hidden.has(token) ? unspelled + token : token);
  const {type, unk_token: unknown, merges, continuing_subword_prefix: prefix} = model;
  const begin = typeof prefix === 'string' ? prefix.length : 0;
  const kept: [string, string][] = [];
  if (type === 'BPE') {
    eachPair(merges, (left, right) => {
      if (![left, right, left + right.slice(begin)].some(token => hidden.has(token)))
        kept.push([left, right]);
    });
  }
  return {
    model: {
      ...model,
      ...(typeof unknown === 'string' && {unk_token: spell(unknown)}),
      ...(type === 'BPE' && {merges: kept}),
    },
    vocabulary: new Map([...vocabulary].map(([token, id]) => [spell(token), id])),
  };
}
