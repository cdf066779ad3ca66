import {expect} from 'chai';
import {readFile} from 'node:fs/promises';
import {tokenizerFromGguf} from '../../../models/tokenizer/index.js';
import {splittings} from '../../../models/tokenizer/splittings.js';

/** What llama.cpp, or Python's tokenizers with a model's own patterns, makes of texts (tools/tokenizer_goldens/gguf_rules.py). */
interface Golden {
  texts: string[];
  gpt2: Kind;
  pieces: Kind;
}
interface Kind {
  tokens: string[];
  types: number[];
  merges: string[];
  /** Ids of each text; null where they are not compared. */
  rules: {names: string[]; addBos: boolean; ids: (number[] | null)[]}[];
}

const golden: Golden = JSON.parse(
  await readFile(new URL('../../golden/tokenizers/gguf_rules.json', import.meta.url), 'utf8'),
);

describe('tokenizer.ggml.pre', () => {
  for (const kind of ['gpt2', 'pieces'] as const) {
    const {tokens, types, merges, rules} = golden[kind];
    const idOf = (...names: string[]) => tokens.findIndex(token => names.includes(token));
    for (const {names, addBos, ids} of rules) {
      for (const pre of names) {
        it(`"${pre}" gives the ids of llama.cpp`, () => {
          const bosId = idOf('<s>', '<bos>');
          const keys = {
            ...{model: 'gpt2', pre, tokens, merges, token_type: Int32Array.from(types)},
            ...{bos_token_id: bosId, eos_token_id: idOf('</s>', '<eos>')},
            ...(kind === 'pieces' && {unknown_token_id: idOf('<unk>')}),
          };
          const tokenizer = tokenizerFromGguf(
            new Map(Object.entries(keys).map(([key, value]) => [`tokenizer.ggml.${key}`, value])),
          );
          expect(tokenizer.encode('')).to.deep.equal(addBos ? [bosId] : []);
          golden.texts.forEach((text, i) => {
            if (ids[i] === null) return;
            expect(tokenizer.encode(text, {addSpecial: false}), JSON.stringify(text)).to.deep.equal(ids[i]);
          });
        });
      }
    }
  }

  it('has no name in eigenkv that is not compared', () => {
    const compared = golden.gpt2.rules.flatMap(({names}) => names);
    // what older files call gpt-2
    expect([...splittings.keys()].filter(name => name !== 'gpt2').sort()).to.deep.equal(compared.sort());
  });
});
