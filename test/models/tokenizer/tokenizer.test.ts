import {expect} from 'chai';
import fc from 'fast-check';
import {existsSync} from 'node:fs';
import {readFile} from 'node:fs/promises';
import {findSmolLM2} from '../../../models/hub/index.js';
import {
  type Tokenizer,
  streamDecoder,
  tokenizerFromGguf,
  tokenizerFromJson,
} from '../../../models/tokenizer/index.js';
import {assumedSplitting} from '../../../models/tokenizer/known_vocabularies.js';
import {openTensorPath} from '../../../base/files/open_tensor_file.js';
import type {MetadataValue} from '../../../base/files/tensor_file.js';
import {FormatError, InvalidArgumentError, ModelError} from '../../../base/errors.js';
import {skip} from '../../support/skip.js';

interface Golden {
  texts: Record<string, string>;
  byteLevel: {
    tokens: string[];
    merges: string[];
    special: string[];
    ids: Record<string, Record<string, number[]>>;
  };
  smollm2: {ids: Record<string, number[]>};
  sentencePiece: {tokens: string[]; scores: number[]; types: number[]; ids: Record<string, number[]>};
}

const golden: Golden = JSON.parse(
  await readFile(new URL('../../golden/weights/tokenizer.json', import.meta.url), 'utf8'),
);
const shared = new URL('../../../../shared/data/models/', import.meta.url);

type Keys = Record<string, MetadataValue | undefined>;

/** GGUF metadata of a tokenizer; a key set to undefined is left out. */
function metadata(keys: Keys): Map<string, MetadataValue> {
  const present = Object.entries(keys).filter(
    (entry): entry is [string, MetadataValue] => entry[1] !== undefined,
  );
  return new Map(present.map(([key, value]) => [`tokenizer.ggml.${key}`, value]));
}

const {byteLevel, sentencePiece} = golden;
const byteLevelKeys: Keys = {
  model: 'gpt2',
  pre: 'smollm',
  tokens: byteLevel.tokens,
  token_type: Int32Array.from(byteLevel.tokens, token => (byteLevel.special.includes(token) ? 3 : 1)),
  merges: byteLevel.merges,
  eos_token_id: 0,
  add_bos_token: false,
};
const sentencePieceKeys: Keys = {
  model: 'llama',
  tokens: sentencePiece.tokens,
  scores: Float32Array.from(sentencePiece.scores),
  token_type: Int32Array.from(sentencePiece.types),
  bos_token_id: 1,
  eos_token_id: 2,
  unknown_token_id: 0,
};
const gguf = (base: Keys, changes: Keys = {}) => tokenizerFromGguf(metadata({...base, ...changes}));
/** A tokenizer with what was said while it was made. */
function warned(keys: Keys): {tokenizer: Tokenizer; warnings: string[]} {
  const warnings: string[] = [];
  return {tokenizer: tokenizerFromGguf(metadata(keys), message => warnings.push(message)), warnings};
}

/** The golden byte-level tokens with other ids, so that a vocabulary of this size has the `landmarks` at theirs. */
function movedVocabulary(size: number, landmarks: Readonly<Record<number, string>>) {
  const tokens = new Array<string>(size);
  for (const [id, token] of Object.entries(landmarks)) tokens[Number(id)] = token;
  const placed = new Map(Object.entries(landmarks).map(([id, token]) => [token, Number(id)]));
  let free = 0;
  const newIds = byteLevel.tokens.map(token => {
    const id = placed.get(token);
    if (id !== undefined) return id;
    while (tokens[free] !== undefined) free++;
    tokens[free] = token;
    return free;
  });
  for (let id = 0; id < size; id++) tokens[id] ??= `<filler ${id}>`;
  return {tokens, newIds};
}

const kinds: Record<string, Tokenizer> = {
  'byte-level': gguf(byteLevelKeys),
  SentencePiece: gguf(sentencePieceKeys),
};

/** No half of a surrogate pair: those do not survive UTF-8. */
const isWholeText = (text: string) => new TextDecoder().decode(new TextEncoder().encode(text)) === text;

/** Text of every kind: ASCII, any code point (surrogates only in pairs), and pieces of the golden texts. */
const anyText = fc.oneof(
  fc.string(),
  fc.string({unit: 'binary'}),
  fc
    .array(fc.constantFrom(...Object.values(golden.texts).flatMap(text => text.split(/(?<=\s)/))), {
      maxLength: 12,
    })
    .map(parts => parts.join('')),
);

describe('a tokenizer from a GGUF vocabulary', () => {
  for (const [pre, ids] of Object.entries(byteLevel.ids)) {
    it(`of bytes gives the ids of the Rust library with the rule "${pre}"`, () => {
      const tokenizer = gguf(byteLevelKeys, {pre});
      for (const [name, text] of Object.entries(golden.texts)) {
        expect(tokenizer.encode(text, {addSpecial: false}), name).to.deep.equal(ids[name]);
      }
    });
  }

  it('of pieces gives the ids of SentencePiece', () => {
    for (const [name, ids] of Object.entries(sentencePiece.ids)) {
      expect(kinds['SentencePiece']!.encode(golden.texts[name]!), name).to.deep.equal(ids);
    }
  });

  it('of SmolLM2 gives the ids of the Rust library', async function () {
    const path = await findSmolLM2();
    if (path === undefined) {
      return skip(this, 'SmolLM2 is not in the cache directory (npm run fetch:smollm2)');
    }
    const file = await openTensorPath(path);
    const tokenizer = tokenizerFromGguf(file.metadata);
    await file.close();
    expect(tokenizer).to.include({vocabSize: 49152, bosId: 1});
    expect(tokenizer.eosIds).to.deep.equal([2, 0]);
    for (const [name, ids] of Object.entries(golden.smollm2.ids)) {
      expect(tokenizer.encode(golden.texts[name]!), name).to.deep.equal(ids);
      if (name !== 'special') expect(tokenizer.decode(ids), name).to.equal(golden.texts[name]);
    }
  });

  for (const [folder, name] of [
    ['stories260K', 'stories260K-f32.gguf'],
    ['babyllama-tok361', 'babyllama-tok361-f32.gguf'],
    ['bible-3.7m', 'bible-f32.gguf'],
  ] as const) {
    it(`of ${folder} gives the ids of its golden.json`, async function () {
      if (!existsSync(new URL(`${folder}/${name}`, shared))) {
        return skip(this, `${folder} is not beside this checkout`);
      }
      const file = await openTensorPath(new URL(`${folder}/${name}`, shared).pathname);
      const tokenizer = tokenizerFromGguf(file.metadata);
      await file.close();
      const expected: {
        prompt: string;
        promptIds: number[];
        greedyIds: number[];
        greedyText: string;
        text: string;
        ids: number[];
      } = JSON.parse(await readFile(new URL(`${folder}/golden.json`, shared), 'utf8'));
      expect(tokenizer.encode(expected.prompt)).to.deep.equal(expected.promptIds);
      expect(tokenizer.decode([...expected.promptIds, ...expected.greedyIds])).to.equal(expected.greedyText);
      // the golden text is the head of a longer one, cut for display: its last word may be tokenized otherwise
      const ids = tokenizer.encode(expected.text.replace(/ ?\.\.\.$/, ''));
      expect(ids.slice(0, -1)).to.deep.equal(expected.ids.slice(0, ids.length - 1));
    });
  }

  it('puts first and last tokens around a text as the file says', () => {
    const text = 'Once upon';
    const bare = kinds['SentencePiece']!.encode(text, {addSpecial: false});
    expect(kinds['SentencePiece']!.encode(text)).to.deep.equal([1, ...bare]);
    expect(gguf(sentencePieceKeys, {add_bos_token: false, add_eos_token: true}).encode(text)).to.deep.equal([
      ...bare,
      2,
    ]);
    expect(gguf(sentencePieceKeys, {add_eos_token: true}).encode('')).to.deep.equal([1, 2]);
    const llama3 = gguf(byteLevelKeys, {pre: 'llama-bpe', add_bos_token: undefined, bos_token_id: 1});
    expect(llama3.encode('a')[0]).to.equal(1);
  });

  it('adds no space before a text where the file says so', () => {
    const tokenizer = gguf(sentencePieceKeys, {add_space_prefix: false});
    expect(tokenizer.decode(tokenizer.encode('a'))).to.equal('a');
    expect(tokenizer.token(tokenizer.encode('a')[1]!)).to.equal('a');
    expect(kinds['SentencePiece']!.token(kinds['SentencePiece']!.encode('a')[1]!)).to.equal('\u2581a');
    expect(tokenizer.decode(tokenizer.encode(' a'))).to.equal(' a');
  });

  it('stops at every token that ends a text', () => {
    expect(kinds['byte-level']!.eosIds).to.deep.equal([0, 2]);
    expect(gguf(byteLevelKeys, {eos_token_id: 2, eot_token_id: 5}).eosIds).to.deep.equal([2, 5, 0]);
  });

  it('stops at what is spelled as an end, of whatever type', () => {
    const plain = byteLevel.tokens.slice(3);
    const spellings = [
      ...[
        '<|im_end|>',
        '<|eot_id|>',
        '<|eom_id|>',
        '<|end|>',
        '<end_of_turn>',
        '<|endoftext|>',
        '<|end_of_text|>',
      ],
      ...[
        '<eos>',
        '</s>',
        '<EOT>',
        '_<EOT>',
        '[EOT]',
        '[EOS]',
        '<end_of_utterance>',
        '<|return|>',
        '<|call|>',
      ],
    ];
    const tokens = [...plain, ...spellings];
    const ends = spellings.map((_, i) => plain.length + i);
    for (const type of [0, 1, 3, 4, 5]) {
      const types = Int32Array.from(tokens, (_, id) => (id < plain.length ? 1 : type));
      const changes = {tokens, token_type: types, eos_token_id: undefined};
      const tokenizer = gguf(byteLevelKeys, changes);
      expect(tokenizer.eosIds, `type ${type}`).to.deep.equal(ends);
      // and it is special: found in a text, left out of it
      expect(tokenizer.encode('a<|im_end|>').slice(-1)).to.deep.equal([ends[0]]);
      expect(tokenizer.decode(ends)).to.equal('');
      expect(tokenizer.encode('<|im_end|>', {parseSpecial: false})).to.not.include(ends[0]);
      expect(
        gguf(byteLevelKeys, {...changes, eos_token_id: 7, eot_token_id: 8, eom_token_id: 9}).eosIds,
      ).to.deep.equal([7, 8, 9, ...ends]);
    }
    const untyped = gguf(byteLevelKeys, {tokens, token_type: undefined, eos_token_id: undefined});
    expect(untyped.eosIds).to.deep.equal(ends);
    const pieces = gguf(sentencePieceKeys, {
      token_type: new Int32Array(sentencePiece.types.map(() => 1)),
      eos_token_id: undefined,
    });
    expect(pieces.eosIds).to.deep.equal([sentencePiece.tokens.indexOf('</s>')]);
  });

  it('leaves ids outside the vocabulary out, and says so', () => {
    for (const key of ['eos_token_id', 'eot_token_id', 'eom_token_id', 'bos_token_id', 'unknown_token_id']) {
      for (const id of [sentencePiece.tokens.length, 2 ** 32 - 1, -1]) {
        const {tokenizer, warnings} = warned({...sentencePieceKeys, [key]: id});
        expect(warnings, key).to.have.length(1);
        expect(warnings[0]).to.include(`tokenizer.ggml.${key} is ${id}, but its vocabulary has the ids 0 to`);
        expect(tokenizer.eosIds).to.deep.equal([2]);
        expect(tokenizer.bosId).to.equal(key === 'bos_token_id' ? undefined : 1);
      }
    }
  });

  it('gives no text for tokens that only fill it up', () => {
    const tokens = [...byteLevel.tokens, '[PAD1]', '[PAD2]'];
    const types = Int32Array.from(tokens, (token, id) =>
      id >= byteLevel.tokens.length ? 5 : byteLevel.special.includes(token) ? 3 : 1,
    );
    const tokenizer = gguf(byteLevelKeys, {tokens, token_type: types});
    const ids = tokenizer.encode('a the');
    expect(tokenizer.decode([...ids, tokens.length - 1, ...ids], {skipSpecial: false})).to.equal(
      'a thea the',
    );
    expect(tokenizer.encode('[PAD1]')).to.deep.equal(kinds['byte-level']!.encode('[PAD1]'));
  });

  describe('without a rule of splitting', () => {
    const unnamed = {...byteLevelKeys, pre: undefined};

    it('splits as llama.cpp does, and says so', () => {
      for (const pre of [undefined, '']) {
        const {tokenizer, warnings} = warned({...unnamed, pre});
        expect(warnings).to.have.length(1);
        expect(warnings[0]).to.match(
          /does not say how its vocabulary splits .*tokenizer.ggml.pre.*"default"/,
        );
        for (const [name, text] of Object.entries(golden.texts)) {
          expect(tokenizer.encode(text, {addSpecial: false}), name).to.deep.equal(
            byteLevel.ids['default']![name],
          );
        }
      }
      expect(warned({...byteLevelKeys, pre: 'default'}).warnings).to.deep.equal([]);
      expect(warned(sentencePieceKeys).warnings).to.deep.equal([]);
    });

    it('knows further names of a rule', () => {
      for (const [pre, same] of [
        ['deepseek-r1-qwen', 'qwen2'],
        ['llama-v3', 'llama-bpe'],
        ['refact', 'starcoder'],
      ] as const) {
        const texts = Object.values(golden.texts);
        const [ids, expected] = [pre, same].map(name => {
          const {tokenizer} = warned({...byteLevelKeys, pre: name});
          return texts.map(text => tokenizer.encode(text));
        });
        expect(ids, pre).to.deep.equal(expected);
      }
    });

    it('knows further vocabularies', () => {
      const further: [pre: string, size: number, landmarks: Record<number, string>][] = [
        ['mpt', 50_432, {0: '<|endoftext|>', 1: '<|padding|>', 2: '!'}],
        ['falcon', 65_024, {0: '>>TITLE<<', 11: '<|endoftext|>'}],
        [
          'deepseek-coder',
          32_256,
          {0: '!', 32013: '<｜begin▁of▁sentence｜>', 32014: '<｜end▁of▁sentence｜>'},
        ],
        [
          'deepseek-llm',
          102_400,
          {0: '!', 100000: '<｜begin▁of▁sentence｜>', 100001: '<｜end▁of▁sentence｜>'},
        ],
        ['command-r', 256_000, {0: '<PAD>', 5: '<BOS_TOKEN>', 255001: '<|END_OF_TURN_TOKEN|>'}],
      ];
      for (const [pre, size, landmarks] of further) {
        const {tokens} = movedVocabulary(size, landmarks);
        expect(assumedSplitting({tokens}, message => expect.fail(message))).to.equal(pre);
      }
    });

    const published: [pre: string, size: number, landmarks: Record<number, string>][] = [
      ['smollm', 49_152, {0: '<|endoftext|>', 1: '<|im_start|>', 2: '<|im_end|>'}],
      ['gpt-2', 50_257, {0: '!', 50256: '<|endoftext|>'}],
      ['llama-bpe', 128_256, {0: '!', 128000: '<|begin_of_text|>', 128001: '<|end_of_text|>'}],
      ['qwen2', 151_936, {0: '!', 151643: '<|endoftext|>', 151644: '<|im_start|>'}],
    ];
    for (const [pre, size, landmarks] of published) {
      it(`splits as "${pre}" where it is that vocabulary`, () => {
        const {tokens, newIds} = movedVocabulary(size, landmarks);
        const changes = {tokens, token_type: undefined, eos_token_id: undefined};
        const {tokenizer, warnings} = warned({...unnamed, ...changes});
        expect(warnings).to.deep.equal([]);
        for (const [name, text] of Object.entries(golden.texts)) {
          if (name === 'special') continue; // its tokens have other types here
          const expected = byteLevel.ids[pre]![name]!.map(id => newIds[id]!);
          expect(tokenizer.encode(text, {addSpecial: false}), name).to.deep.equal(expected);
        }
        // one token of it is another: no more that vocabulary
        const [id] = Object.keys(landmarks).slice(-1);
        const other = tokens.map((token, i) => (i === Number(id) ? '<|other|>' : token));
        const said: string[] = [];
        expect(assumedSplitting({tokens: other}, message => said.push(message))).to.equal('default');
        expect(said).to.have.length(1);
        expect(assumedSplitting({tokens: tokens.slice(0, 1000)}, message => said.push(message))).to.equal(
          'default',
        );
      });
    }

    it('of SmolLM2 gives the ids of the Rust library', async function () {
      const path = await findSmolLM2();
      if (path === undefined)
        return skip(this, 'SmolLM2 is not in the cache directory (npm run fetch:smollm2)');
      const file = await openTensorPath(path);
      await file.close();
      const older = new Map([...file.metadata].filter(([key]) => key !== 'tokenizer.ggml.pre'));
      const tokenizer = tokenizerFromGguf(older, message => expect.fail(message));
      for (const [name, ids] of Object.entries(golden.smollm2.ids)) {
        expect(tokenizer.encode(golden.texts[name]!), name).to.deep.equal(ids);
      }
    });
  });

  it('knows types of tokens where the file does not say them', () => {
    const tokenizer = gguf(sentencePieceKeys, {token_type: undefined});
    for (const [name, ids] of Object.entries(sentencePiece.ids)) {
      expect(tokenizer.encode(golden.texts[name]!), name).to.deep.equal(ids);
    }
  });

  it('takes __proto__ for a token', () => {
    const tokens = [...byteLevel.tokens, '__proto__'];
    const types = Int32Array.from(tokens, token => (token === '__proto__' ? 4 : 1));
    const tokenizer = gguf(byteLevelKeys, {tokens, token_type: types});
    expect(tokenizer.encode('__proto__')).to.deep.equal([tokens.length - 1]);
    expect(tokenizer.decode([tokens.length - 1])).to.equal('__proto__');
  });

  const [first = '', second = ''] = byteLevel.tokens;
  const wrong: Record<string, [Keys, Keys]> = {
    'no tokens': [byteLevelKeys, {tokens: undefined}],
    'an empty vocabulary': [byteLevelKeys, {tokens: []}],
    'tokens that are numbers': [byteLevelKeys, {tokens: Int32Array.of(1, 2)}],
    'no model': [byteLevelKeys, {model: undefined}],
    'another model': [byteLevelKeys, {model: 'bert'}],
    'a model that nobody knows': [byteLevelKeys, {model: 'gpt9'}],
    'another rule': [byteLevelKeys, {pre: 'no-such-rule'}],
    'a rule of llama.cpp that eigenkv lacks': [byteLevelKeys, {pre: 'jais-2'}],
    'pieces without merges': [sentencePieceKeys, {model: 'gemma4'}],
    'a token twice': [byteLevelKeys, {tokens: [...byteLevel.tokens.slice(0, -1), first]}],
    'fewer types than tokens': [byteLevelKeys, {token_type: Int32Array.of(1, 2, 3)}],
    'no merges': [byteLevelKeys, {merges: undefined}],
    'a merge of one token': [byteLevelKeys, {merges: ['abc']}],
    'a merge of three tokens': [byteLevelKeys, {merges: ['a b c']}],
    'a merge of nothing': [byteLevelKeys, {merges: [' a', 'a ']}],
    'a merge of unknown tokens': [byteLevelKeys, {merges: ['ÿÿÿÿ ÿÿÿÿ']}],
    'a merge into an unknown token': [byteLevelKeys, {merges: [`${first} ${second}`]}],
    'a start that is no whole number': [byteLevelKeys, {bos_token_id: 0.5}],
    'a start that is text': [byteLevelKeys, {bos_token_id: '1'}],
    'no scores': [sentencePieceKeys, {scores: undefined}],
    'fewer scores than tokens': [sentencePieceKeys, {scores: Float32Array.of(1)}],
  };
  for (const [fault, [base, changes]] of Object.entries(wrong)) {
    it(`refuses ${fault}`, () => {
      expect(() => gguf(base, changes)).to.throw(ModelError);
    });
  }
});

describe('a tokenizer from tokenizer.json', () => {
  const vocab = Object.fromEntries(byteLevel.tokens.map((token, id) => [token, id]));
  const json = {
    added_tokens: byteLevel.special.map(content => ({id: vocab[content], content, special: true})),
    normalizer: null,
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        {type: 'Digits', individual_digits: true},
        {type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true},
      ],
    },
    post_processor: null,
    decoder: {type: 'ByteLevel'},
    model: {type: 'BPE', vocab, merges: byteLevel.merges},
  };

  it('gives the ids of the Rust library, beyond ASCII too', () => {
    const tokenizer = tokenizerFromJson(json);
    for (const [name, text] of Object.entries(golden.texts)) {
      expect(tokenizer.encode(text), name).to.deep.equal(byteLevel.ids['smollm']![name]);
    }
  });

  it('finds the first and last token in its config', () => {
    const config = {bos_token: '<|im_start|>', eos_token: {content: '<|im_end|>', special: true}};
    expect(tokenizerFromJson(json, config)).to.deep.include({
      bosId: 1,
      eosIds: [2, 0],
      vocabSize: byteLevel.tokens.length,
    });
    expect(tokenizerFromJson(json, {bos_token: null, eos_token: null}).bosId).to.equal(undefined);
    expect(() => tokenizerFromJson(json, [])).to.throw(FormatError);
  });

  const wrong: Record<string, [unknown, new (...args: never[]) => Error]> = {
    null: [null, FormatError],
    text: ['{}', FormatError],
    'an empty object': [{}, FormatError],
    'no vocabulary': [{...json, model: {type: 'BPE', merges: []}}, FormatError],
    'an empty vocabulary': [{...json, model: {type: 'BPE', vocab: {}, merges: []}}, FormatError],
    'an id that is text': [{...json, model: {...json.model, vocab: {...vocab, a: '5'}}}, FormatError],
    'a negative id': [{...json, model: {...json.model, vocab: {...vocab, a: -1}}}, FormatError],
    'an id of 2^40': [{...json, model: {...json.model, vocab: {...vocab, a: 2 ** 40}}}, FormatError],
    'an id twice': [{...json, model: {...json.model, vocab: {...vocab, zzzz: 5}}}, ModelError],
    'no merges': [{...json, model: {type: 'BPE', vocab}}, FormatError],
    'a merge of unknown tokens': [{...json, model: {...json.model, merges: [['zz', 'zzz']]}}, ModelError],
    'a merge that is a number': [{...json, model: {...json.model, merges: [5]}}, FormatError],
    'an unknown kind of model': [{...json, model: {...json.model, type: 'Magic'}}, ModelError],
    'an unknown step': [{...json, pre_tokenizer: {type: 'Magic'}}, ModelError],
    'added tokens that are no list': [{...json, added_tokens: {}}, FormatError],
    'an added token without id': [{...json, added_tokens: [{content: 'x'}]}, FormatError],
  };
  for (const [fault, [value, type]] of Object.entries(wrong)) {
    it(`refuses ${fault}`, () => {
      expect(() => tokenizerFromJson(value)).to.throw(type);
    });
  }
});

for (const [kind, tokenizer] of Object.entries(kinds)) {
  describe(`a ${kind} tokenizer`, () => {
    it('decodes what it encoded', () => {
      fc.assert(
        fc.property(anyText, text => {
          const ids = tokenizer.encode(text, {addSpecial: false});
          expect(tokenizer.decode(ids, {skipSpecial: false})).to.equal(text);
        }),
        {numRuns: 500},
      );
    });

    it('streams what decode gives at once, whole characters only', () => {
      fc.assert(
        fc.property(
          fc.oneof(
            anyText.map(text => tokenizer.encode(text)),
            fc.array(fc.nat(tokenizer.vocabSize - 1), {maxLength: 60}),
          ),
          ids => {
            const stream = streamDecoder(tokenizer);
            const pieces = ids.map(id => stream.push(id));
            expect(pieces.join('') + stream.flush()).to.equal(tokenizer.decode(ids));
          },
        ),
        {numRuns: 500},
      );
      const stream = streamDecoder(tokenizer);
      const pieces = tokenizer.encode('a 🦜🐉 é').map(id => stream.push(id));
      expect(pieces.join('')).to.equal('a 🦜🐉 é');
      expect(
        pieces.filter(piece => piece !== '').every(piece => !piece.includes('\ufffd') && isWholeText(piece)),
      ).to.equal(true);
      expect(pieces).to.include(''); // some tokens are parts of a character
    });

    it('leaves special tokens out, or not', () => {
      const id = tokenizer.eosIds[0]!;
      const [a] = tokenizer.encode('a', {addSpecial: false}).slice(-1);
      expect(tokenizer.decode([a!, id]).trim()).to.equal('a');
      expect(tokenizer.decode([a!, id], {skipSpecial: false}).trim()).to.equal(`a${tokenizer.token(id)}`);
      const stream = streamDecoder(tokenizer, {skipSpecial: false});
      expect((stream.push(a!) + stream.push(id)).trim()).to.equal(`a${tokenizer.token(id)}`);
    });

    it('reads special tokens as text where that is asked for', () => {
      const special = tokenizer.token(tokenizer.eosIds[0]!);
      const text = `a ${special}b`;
      expect(tokenizer.encode(text)).to.include(tokenizer.eosIds[0]);
      const ids = tokenizer.encode(text, {parseSpecial: false});
      expect(ids).to.not.include(tokenizer.eosIds[0]);
      expect(tokenizer.decode(ids)).to.equal(text);
      expect(ids.slice(0, 1)).to.deep.equal(tokenizer.encode('a').slice(0, 1)); // with the first token, if it has one
    });

    it('refuses what is no id', () => {
      for (const id of [-1, 0.5, NaN, 2 ** 31, 2 ** 32 + 3, Infinity]) {
        expect(() => tokenizer.decode([id])).to.throw(InvalidArgumentError, /is not a token id/);
        expect(() => tokenizer.token(id)).to.throw(InvalidArgumentError, /is not a token id/);
        expect(() => streamDecoder(tokenizer).push(id)).to.throw(InvalidArgumentError, /is not a token id/);
      }
      expect(() => tokenizer.token(tokenizer.vocabSize)).to.throw(InvalidArgumentError, /There is no token/);
      expect(tokenizer.decode([])).to.equal('');
    });

    it('passes over ids that no token has, wherever they stand', () => {
      const padding = [tokenizer.vocabSize, tokenizer.vocabSize + 7, 2 ** 31 - 1];
      expect(tokenizer.decode(padding)).to.equal('');
      expect(tokenizer.decode(padding, {skipSpecial: false})).to.equal('');
      fc.assert(
        fc.property(
          anyText,
          fc.array(fc.tuple(fc.nat(), fc.constantFrom(...padding)), {maxLength: 40}),
          fc.boolean(),
          (text, inserted, skipSpecial) => {
            const ids = tokenizer.encode(text);
            const padded = [...ids];
            for (const [at, id] of inserted) padded.splice(at % (padded.length + 1), 0, id);
            const whole = tokenizer.decode(ids, {skipSpecial});
            expect(tokenizer.decode(padded, {skipSpecial})).to.equal(whole);
            const stream = streamDecoder(tokenizer, {skipSpecial});
            expect(padded.map(id => stream.push(id)).join('') + stream.flush()).to.equal(whole);
          },
        ),
        {numRuns: 200},
      );
    });

    it('keeps the space after any number of tokens without text', () => {
      const silent = [tokenizer.vocabSize, tokenizer.eosIds[0]!];
      const [a, ...words] = tokenizer.encode('a the end', {addSpecial: false});
      for (const id of silent) {
        const ids = [a!, ...new Array<number>(60).fill(id), ...words];
        const stream = streamDecoder(tokenizer);
        expect(ids.map(each => stream.push(each)).join('') + stream.flush()).to.equal(tokenizer.decode(ids));
      }
    });

    it('streams long texts in constant time a token', () => {
      const ids = Array.from({length: 5000}, (_, i) => (i * 7) % tokenizer.vocabSize);
      const longest = {length: 0};
      const watched: Tokenizer = {
        ...tokenizer,
        decode(window, options) {
          longest.length = Math.max(longest.length, window.length);
          return tokenizer.decode(window, options);
        },
      };
      const stream = streamDecoder(watched);
      const text = ids.map(id => stream.push(id)).join('') + stream.flush();
      expect(text).to.equal(tokenizer.decode(ids));
      expect(longest.length).to.be.at.most(64);
    });
  });
}
