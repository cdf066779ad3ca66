import {expect} from 'chai';
import {readFile} from 'node:fs/promises';
import {type Tokenizer, tokenizerFromJson} from '../../../models/tokenizer/index.js';
import {ModelError} from '../../../base/errors.js';

/** What Python's tokenizers makes of every step and option (tools/tokenizer_goldens); null where it raises an error. */
interface Goldens {
  readonly models: Record<string, Json>;
  readonly cases: readonly Golden[];
}

export interface Golden {
  readonly name: string;
  readonly file: Json & {readonly model: Json};
  /** A text, its ids, the ids without what stands around it, the ids where special tokens are text. */
  readonly texts: readonly [string, Ids, Ids?, Ids?][];
  /** Ids, their text, their text with special tokens. */
  readonly decoded: readonly [number[], string | null, (string | null)?][];
}
type Ids = number[] | null;
type Json = Record<string, unknown>;

export const goldens: Goldens = JSON.parse(
  await readFile(new URL('../../golden/tokenizers/goldens.json', import.meta.url), 'utf8'),
);

export function openGolden({file}: Golden): Tokenizer {
  const {of, ...options} = file.model;
  const model = typeof of === 'string' ? {...goldens.models[of], ...options} : file.model;
  return tokenizerFromJson({...file, model});
}

/** Compares what a tokenizer makes of the texts and ids of a golden with what Python makes of them. */
export function expectGolden(tokenizer: Tokenizer, {texts, decoded}: Golden): void {
  for (const [text, ids, bare = ids, plain = ids] of texts) {
    const shown = JSON.stringify(text);
    const encode = (options?: {addSpecial?: boolean; parseSpecial?: boolean}) =>
      orNull(() => tokenizer.encode(text, options));
    expect(encode(), shown).to.deep.equal(ids);
    expect(encode({addSpecial: false}), shown).to.deep.equal(bare);
    expect(encode({parseSpecial: false}), shown).to.deep.equal(plain);
  }
  for (const [ids, text, whole = text] of decoded) {
    if (text !== null) expect(tokenizer.decode(ids), String(ids)).to.equal(text);
    if (whole !== null) expect(tokenizer.decode(ids, {skipSpecial: false}), String(ids)).to.equal(whole);
  }
}

/** The result, or null where a typed error is thrown, as Python raises one. */
function orNull<T>(run: () => T): T | null {
  try {
    return run();
  } catch (error) {
    expect(error).to.be.instanceOf(ModelError);
    return null;
  }
}
