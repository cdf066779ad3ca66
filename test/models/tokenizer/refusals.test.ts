import {expect} from 'chai';
import {checkPatternCost} from '../../../models/tokenizer/pattern_cost.js';
import {translatePattern} from '../../../models/tokenizer/steps/patterns.js';
import {streamDecoder, tokenizerFromJson} from '../../../models/tokenizer/index.js';
import {FormatError, ModelError} from '../../../base/errors.js';

type Json = Record<string, unknown>;

const vocab = {'[UNK]': 0, a: 1, b: 2, ab: 3, '\ufffd': 4, '▁': 5};
const words = {type: 'WordLevel', unk_token: '[UNK]', vocab};
const bpe = {type: 'BPE', vocab, merges: [['a', 'b']]};
const open = (changes: Json) => tokenizerFromJson({model: words, ...changes});

/** What was written to console.warn meanwhile. */
function warnings(run: () => void): string[] {
  const warn = console.warn;
  const lines: string[] = [];
  console.warn = (line: string) => lines.push(line);
  try {
    run();
  } finally {
    console.warn = warn;
  }
  return lines;
}

describe('what a tokenizer.json may not ask for', () => {
  const refused: Record<string, [Json, typeof FormatError | typeof ModelError, RegExp]> = {
    'a normalizer that is not known': [
      {normalizer: {type: 'Rot13'}},
      ModelError,
      /normalizer of the type "Rot13"/,
    ],
    'a pre-tokenizer that is not known': [
      {pre_tokenizer: {type: 'UnicodeScripts'}},
      ModelError,
      /pre-tokenizer of the type "UnicodeScripts"/,
    ],
    'a post-processor that is not known': [{post_processor: {type: 'Other'}}, ModelError, /post-processor/],
    'a decoder that is not known': [{decoder: {type: 'constructor'}}, ModelError, /decoder of the type/],
    'a model that is not known': [{model: {...words, type: 'Char'}}, ModelError, /model of the type "Char"/],
    'a step of no type': [{normalizer: {}}, FormatError, /type that is not a text/],
    'a split without a behavior': [
      {pre_tokenizer: {type: 'Split', pattern: {String: ' '}, invert: false}},
      FormatError,
      /behavior = undefined/,
    ],
    'a split of another behavior': [
      {pre_tokenizer: {type: 'Punctuation', behavior: 'removed'}},
      FormatError,
      /behavior = "removed"/,
    ],
    'a split that does not say invert': [
      {pre_tokenizer: {type: 'Split', pattern: {String: ' '}, behavior: 'Removed'}},
      FormatError,
      /invert/,
    ],
    'two patterns in one': [
      {normalizer: {type: 'Replace', pattern: {String: 'a', Regex: 'b'}, content: ''}},
      FormatError,
      /no pattern/,
    ],
    'a byte level that does not say whether it adds a space': [
      {pre_tokenizer: {type: 'ByteLevel'}},
      FormatError,
      /add_prefix_space/,
    ],
    'a Metaspace that contradicts itself': [
      {pre_tokenizer: {type: 'Metaspace', replacement: '▁', add_prefix_space: false}},
      ModelError,
      /adds no space .* and adds one/,
    ],
    'a Metaspace of two characters': [
      {decoder: {type: 'Metaspace', replacement: '__'}},
      FormatError,
      /expected one character/,
    ],
    'a charsmap that is no base64': [
      {normalizer: {type: 'Precompiled', precompiled_charsmap: '?'}},
      FormatError,
      /not base64/,
    ],
    'a charsmap that is cut off': [
      {normalizer: {type: 'Precompiled', precompiled_charsmap: btoa('\x08\0\0\0ab')}},
      FormatError,
      /cut off/,
    ],
    'a charsmap that writes too much': [
      {normalizer: {type: 'Precompiled', precompiled_charsmap: btoa(`\0\0\0\0${'x'.repeat(65)}`)}},
      ModelError,
      /65 characters of one/,
    ],
    'merges left out at random': [{model: {...bpe, dropout: 0.1}}, ModelError, /dropout 0.1/],
    'a merge without the prefix': [
      {model: {...bpe, continuing_subword_prefix: '##'}},
      ModelError,
      /does not begin with "##"/,
    ],
    'an added token with another id than its own': [
      {added_tokens: [{id: 9, content: 'ab', special: false}]},
      ModelError,
      /"ab" the id 9, but elsewhere 3/,
    ],
    'an added token of two ids': [
      {
        added_tokens: [
          {id: 8, content: 'x', special: false},
          {id: 9, content: 'x', special: false},
        ],
      },
      ModelError,
      /"x" the id 9, but elsewhere 8/,
    ],
    'two added tokens of one id': [
      {
        added_tokens: [
          {id: 9, content: 'x', special: false},
          {id: 9, content: 'y', special: false},
        ],
      },
      ModelError,
      /"x" has it too/,
    ],
    'a template without the text': [
      {post_processor: {type: 'TemplateProcessing', single: []}},
      FormatError,
      /leaves the text out/,
    ],
    'the second text of a pair': [
      {post_processor: {type: 'TemplateProcessing', single: [{Sequence: {id: 'B', type_id: 0}}]}},
      FormatError,
      /expected one text A/,
    ],
  };
  for (const [name, [changes, kind, message]] of Object.entries(refused)) {
    it(`is ${name}`, () => expect(() => open(changes)).to.throw(kind, message));
  }

  const patterns: Record<string, RegExp> = {
    '(?i:é)': /"é" of any case/,
    '(?i:[à-ý])': /of any case/,
    '(?i:graSSe)': /"ss" of any case/,
    '(?i:\\u0073)': /of any case/,
    '(?i)a': /the group/,
    '(?m:.)': /the group/,
    '\\Ga': /"\\G"/,
    '\\X': /"\\X"/,
    'a{2}?': /the repetition/,
    'a+*': /the repetition/,
    '(?<=a++)b': /in a lookbehind/,
    '[a': /class without an end/,
    '[[:print:]]': /cannot be read/,
    '\\p{Klingon}': /cannot be read/,
  };
  it('is a pattern of a whole page', () =>
    expect(() => translatePattern('a++'.repeat(4000))).to.throw(ModelError, /more than 8192 characters/));
  for (const [pattern, message] of Object.entries(patterns)) {
    it(`is the pattern ${pattern}`, () =>
      expect(() => translatePattern(pattern)).to.throw(ModelError, message));
  }

  it('is a pattern that never ends, though it would in Ruby', () => {
    // what never goes back is judged as if it did
    expect(() => checkPatternCost(translatePattern('(?:a++)*b').judged.source)).to.throw(
      ModelError,
      /for ever/,
    );
  });
});

describe('what a tokenizer says once', () => {
  it('is that characters are left out', () => {
    const {encode} = open({model: bpe});
    let ids: number[] = [];
    const lines = warnings(() => {
      ids = encode('aXb');
      encode('Y');
    });
    expect(ids).to.deep.equal([3]); // as in Python, where a and b then are neighbours
    expect(lines).to.have.length(1);
    expect(lines[0]).to.match(/no token for "X"/);
  });

  it('is that texts are neither cut nor padded', () => {
    const truncation = {direction: 'Right', max_length: 1, strategy: 'LongestFirst', stride: 0};
    const padding = {strategy: {Fixed: 9}, pad_id: 0};
    expect(warnings(() => open({truncation, padding}))).to.match(/truncation and padding/);
    expect(warnings(() => open({padding: {...padding, strategy: 'BatchLongest'}}))).to.deep.equal([]);
    const pre = {type: 'WhitespaceSplit'};
    warnings(() =>
      expect(open({truncation, padding, pre_tokenizer: pre}).encode('a b')).to.deep.equal([1, 2]),
    );
  });
});

describe('a tokenizer', () => {
  it('takes half of a character for U+FFFD', () => {
    expect(open({}).encode('\ud83c')).to.deep.equal([4]);
    expect(open({pre_tokenizer: {type: 'FixedLength', length: 1}}).encode('a\udf63b')).to.deep.equal([
      1, 4, 2,
    ]);
  });

  it('knows both ids of a token that a unigram vocabulary has twice', () => {
    const twice = [
      ['<unk>', 0],
      ['a', -1],
      ['a', -2],
    ];
    const tokenizer = open({model: {type: 'Unigram', unk_id: 0, vocab: twice}, decoder: {type: 'Fuse'}});
    expect(tokenizer.encode('a')).to.deep.equal([2]);
    expect(tokenizer.decode([1, 2])).to.equal('aa');
  });

  it('streams the bytes of a character when their row has ended', () => {
    const bytes = {a: 0, '<0xC3>': 1, '<0xA9>': 2};
    const tokenizer = open({model: {...words, vocab: bytes}, decoder: {type: 'ByteFallback'}});
    const stream = streamDecoder(tokenizer);
    expect([0, 1, 2, 0, 1].map(id => stream.push(id))).to.deep.equal(['a', '', '', 'éa', '']);
    expect(stream.flush()).to.equal('\ufffd');
    const plain = streamDecoder(open({model: {...words, vocab: bytes}, decoder: {type: 'Fuse'}}));
    expect([1, 0].map(id => plain.push(id))).to.deep.equal(['<0xC3>', 'a']);
  });
});
