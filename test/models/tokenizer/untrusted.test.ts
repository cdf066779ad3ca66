import {expect} from 'chai';
import {checkPatternCost} from '../../../models/tokenizer/pattern_cost.js';
import {translatePattern} from '../../../models/tokenizer/steps/patterns.js';
import {tokenizerFromJson} from '../../../models/tokenizer/index.js';
import {FormatError, ModelError} from '../../../base/errors.js';
import {endlessPatterns, tokenizerFiles} from '../../fuzz/tokenizer_files.js';

/** The pattern of JavaScript that is judged for one of a tokenizer.json. */
const translated = (pattern: string): string => translatePattern(pattern).judged.source;

/** Patterns of tokenizers that people use. */
const usual: Record<string, string> = {
  'GPT-2': "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
  'Llama 3':
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  'GPT-4o':
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|" +
    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|" +
    '\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+',
  DeepSeek:
    '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+',
  BLOOM: ' ?[^(\\s|[.,!?…。，、।۔،])]+',
  'digits in threes from the right': '\\d{1,3}(?=(?:\\d{3})*\\b)',
  'Chinese and Japanese': '[一-龥\\u3040-ゟ゠-ヿ]+',
  'a class less another': '[\\p{Lu}&&[^\\p{Han}]]*[\\p{Ll}&&[^\\p{Han}]]+',
  'runs of spaces': ' {2,}',
};

describe('patterns of a tokenizer', () => {
  for (const [name, pattern] of Object.entries(usual)) {
    it(`are taken as ${name} has them`, () => checkPatternCost(translated(pattern)));
  }

  for (const pattern of endlessPatterns) {
    it(`are refused where they never end: ${pattern.slice(0, 40)}`, () => {
      expect(() => checkPatternCost(translated(pattern))).to.throw(ModelError, /for ever|refers back/);
    });
  }
});

type Json = Record<string, unknown>;
const [byteLevel, sentencePiece, wordPiece, unigram] = tokenizerFiles.map(text => JSON.parse(text) as Json);

describe('steps of a tokenizer', () => {
  const refused = (
    file: Json,
    changes: Json,
    kind: typeof FormatError | typeof ModelError,
    message: RegExp,
  ) => expect(() => tokenizerFromJson({...file, ...changes})).to.throw(kind, message);
  const replace = (content: string) => ({type: 'Replace', pattern: {String: 'a'}, content});
  const sequence = (count: number, step: object) => ({
    type: 'Sequence',
    normalizers: Array.from({length: count}, () => step),
  });

  it('may not make a text without end longer', () => {
    refused(sentencePiece!, {normalizer: sequence(20, replace('aa'))}, ModelError, /1048576 times as long/);
    refused(sentencePiece!, {decoder: replace('a'.repeat(5000))}, ModelError, /times as long/);
    refused(
      sentencePiece!,
      {normalizer: {type: 'Prepend', prepend: 'a'.repeat(65)}},
      ModelError,
      /65 characters/,
    );
    tokenizerFromJson({...sentencePiece, normalizer: sequence(12, replace('aa'))}); // 4,096 times
    // a match of nothing leaves everything in place and writes something beside it
    const beside = {type: 'Replace', pattern: {Regex: '(?=a)'}, content: 'a'};
    refused(sentencePiece!, {normalizer: sequence(13, beside)}, ModelError, /8192 times as long/);
  });

  it('may not nest or be without end', () => {
    refused(sentencePiece!, {normalizer: sequence(65, {type: 'NFC'})}, ModelError, /64 steps/);
    let nested: object = {type: 'Lowercase'};
    for (let i = 0; i < 9; i++) nested = sequence(1, nested);
    refused(sentencePiece!, {normalizer: nested}, ModelError, /nested deeper/);
    refused(byteLevel!, {pre_tokenizer: {type: 'FixedLength', length: 0}}, FormatError, /length = 0/);
    refused(
      byteLevel!,
      {pre_tokenizer: {type: 'Split', pattern: {Regex: '('}, invert: false}},
      ModelError,
      /cannot be read/,
    );
    refused(byteLevel!, {pre_tokenizer: {type: 'Split', invert: false}}, FormatError, /no pattern/);
  });

  it('write what they replace as it stands, as the Rust library does', () => {
    const normalizer = {type: 'Replace', pattern: {String: 'b'}, content: '$`'}; // to `replaceAll`: what stands before
    const {encode} = tokenizerFromJson({...sentencePiece, normalizer});
    expect(encode('abc')).to.include(0); // "$" and "`" are unknown
  });

  it('may not look words up for ever', () => {
    const model = (file: Json, changes: Json) => ({model: {...(file['model'] as Json), ...changes}});
    refused(
      wordPiece!,
      model(wordPiece!, {max_input_chars_per_word: 1e9}),
      FormatError,
      /max_input_chars_per_word/,
    );
    refused(
      wordPiece!,
      model(wordPiece!, {continuing_subword_prefix: '#'.repeat(99)}),
      ModelError,
      /99 characters/,
    );
    refused(unigram!, model(unigram!, {vocab: [['a'.repeat(65), 0]]}), FormatError, /at most 64/);
    refused(unigram!, model(unigram!, {unk_id: 1e6}), FormatError, /unk_id/);
    const added = {id: 1, content: 'x'.repeat(1025), special: true};
    refused(byteLevel!, {added_tokens: [added]}, ModelError, /added tokens are too long/);
    const twice = {type: 'TemplateProcessing', single: [{Sequence: {id: 'A'}}, {Sequence: {id: 'A'}}]};
    refused(byteLevel!, {post_processor: twice}, ModelError, /repeats the text/);
  });

  it('give no id that the vocabulary lacks', () => {
    const template = {
      type: 'TemplateProcessing',
      single: [{SpecialToken: {id: 'nobody'}}, {Sequence: {id: 'A'}}],
    };
    refused(byteLevel!, {post_processor: template}, ModelError, /names "nobody"/);
    const beyond = {...template, special_tokens: {nobody: {id: 'nobody', ids: [99], tokens: ['nobody']}}};
    refused(byteLevel!, {post_processor: beyond}, ModelError, /id 99 around a text/);
  });
});
