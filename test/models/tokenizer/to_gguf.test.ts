import {expect} from 'chai';
import {readFile} from 'node:fs/promises';
import {type Tokenizer, tokenizerFromGguf, tokenizerFromJson} from '../../../models/tokenizer/index.js';
import {tokenizerToGguf} from '../../../models/tokenizer/to_gguf.js';
import type {TokenizerJson} from '../../../models/tokenizer/tokenizer_json.js';
import {bytesSource} from '../../../base/files/byte_source.js';
import {openGguf} from '../../../base/files/gguf.js';
import type {Metadata} from '../../../base/files/tensor_file.js';
import {ggufChunks} from '../../../base/files/write_gguf.js';
import {ModelError} from '../../../base/errors.js';
import {concat} from '../../base/files/file_bytes.js';
import {expectGolden, goldens, openGolden} from './goldens.js';

const silent = () => undefined;

/** The metadata of a GGUF file with this tokenizer, as it is read. */
async function metadataOf(tokenizer: Tokenizer, vocabSize = tokenizer.vocabSize): Promise<Metadata> {
  const chunks: Uint8Array[] = [];
  const metadata = tokenizerToGguf(tokenizer, vocabSize);
  for await (const chunk of ggufChunks({metadata, tensors: []})) chunks.push(chunk);
  return (await openGguf(bytesSource(concat(...chunks)))).metadata;
}

/** A tokenizer of single characters and byte tokens as SentencePiece has them, with one long token that can be made in two ways. */
const pieces = (changes: Partial<Record<keyof TokenizerJson, unknown>> = {}, model: object = {}): Tokenizer =>
  tokenizerFromJson(
    {
      added_tokens: ['<unk>', '<s>', '</s>'].map((content, id) => ({
        id,
        content,
        special: true,
        normalized: false,
      })),
      normalizer: {
        type: 'Sequence',
        normalizers: [
          {type: 'Prepend', prepend: '\u2581'},
          {content: '\u2581', pattern: {String: ' '}, type: 'Replace'},
        ],
      },
      decoder: {
        type: 'Sequence',
        decoders: [
          {type: 'Replace', pattern: {String: '\u2581'}, content: ' '},
          {type: 'ByteFallback'},
          {type: 'Fuse'},
          {type: 'Strip', content: ' ', start: 1, stop: 0},
        ],
      },
      post_processor: null,
      ...changes,
      model: {
        type: 'BPE',
        unk_token: '<unk>',
        fuse_unk: true,
        vocab: Object.fromEntries(
          ['<unk>', '<s>', '</s>', '\u2581', 'a', 'b', 'aa', 'aaa', 'ab'].map((token, id) => [token, id]),
        ),
        merges: ['a a', 'a b', 'a aa', 'aa a'],
        ...model,
      },
    },
    {bos_token: '<s>', eos_token: '</s>'},
    {},
    silent,
  );

describe('a tokenizer written into a GGUF file', () => {
  const written = ['GPT-2', 'OPT', 'StarCoder', 'SmolLM2', 'Llama 3', 'Qwen 2'].map(name => `as ${name}`);

  for (const golden of goldens.cases.filter(({name}) => written.includes(name))) {
    it(`${golden.name} gives what Python's tokenizers gives, in a padded vocabulary too`, async () => {
      const tokenizer = openGolden(golden);
      const vocabSize = tokenizer.vocabSize + 50;
      const metadata = await metadataOf(tokenizer, vocabSize);
      expect(metadata.get('tokenizer.ggml.tokens')).to.have.length(vocabSize);
      const again = tokenizerFromGguf(metadata, silent);
      expect(again).to.deep.include({
        ...{vocabSize: tokenizer.vocabSize, bosId: tokenizer.bosId, eosIds: tokenizer.eosIds},
      });
      expectGolden(again, golden);
    });
  }

  it('is read back the same or refused, whatever its steps are', async () => {
    let read = 0;
    for (const golden of goldens.cases) {
      const {name} = golden;
      let tokenizer: Tokenizer;
      let metadata: Metadata;
      try {
        tokenizer = openGolden(golden);
        metadata = await metadataOf(tokenizer);
      } catch (error) {
        expect(error, name).to.be.instanceOf(ModelError);
        continue;
      }
      expectGolden(tokenizerFromGguf(metadata, silent), golden);
      read++;
    }
    expect(read).to.be.at.least(written.length);
  });

  it('of pieces has scores in the order of its merges', async () => {
    const tokenizer = pieces();
    const metadata = await metadataOf(tokenizer);
    expect(metadata.get('tokenizer.ggml.scores')).to.deep.equal(
      Float32Array.of(0, 0, 0, 0, 0, 0, -1, -3, -2),
    );
    expect(metadata.get('tokenizer.ggml.token_type')).to.deep.equal(Int32Array.of(2, 3, 3, 1, 1, 1, 1, 1, 1));
    const again = tokenizerFromGguf(metadata, silent);
    for (const text of ['aaab', ' a  aab', 'c', 'bbaaaaa', '<s>ab']) {
      expect(again.encode(text), text).to.deep.equal(tokenizer.encode(text));
      expect(again.decode(tokenizer.encode(text)), text).to.equal(tokenizer.decode(tokenizer.encode(text)));
    }
  });

  it('of a GGUF file is written as it was', async () => {
    const {sentencePiece} = JSON.parse(
      await readFile(new URL('../../golden/weights/tokenizer.json', import.meta.url), 'utf8'),
    ) as {
      sentencePiece: {tokens: string[]; scores: number[]; types: number[]; ids: Record<string, number[]>};
    };
    const {tokens, scores, types} = sentencePiece;
    const given = tokenizerFromGguf(
      new Map<string, string | string[] | Float32Array | Int32Array | number>([
        ['tokenizer.ggml.model', 'llama'],
        ['tokenizer.ggml.tokens', tokens],
        ['tokenizer.ggml.scores', Float32Array.from(scores)],
        ['tokenizer.ggml.token_type', Int32Array.from(types)],
        ['tokenizer.ggml.bos_token_id', 1],
        ['tokenizer.ggml.eos_token_id', 2],
        ['tokenizer.ggml.unknown_token_id', 0],
      ]),
      silent,
    );
    const metadata = await metadataOf(given);
    expect(metadata.get('tokenizer.ggml.tokens')).to.deep.equal(tokens);
    expect(metadata.get('tokenizer.ggml.token_type')).to.deep.equal(Int32Array.from(types));
    expect(metadata.get('tokenizer.ggml.add_bos_token')).to.equal(true);
    expect(tokenizerFromGguf(metadata, silent).json).to.deep.equal(given.json);
  });

  it('names ends that are not spelled as such, up to three', async () => {
    const tokenizer = {...pieces(), eosIds: [2, 4, 5]};
    const metadata = await metadataOf(tokenizer);
    expect(metadata.get('tokenizer.ggml.eot_token_id')).to.equal(4);
    expect(metadata.get('tokenizer.ggml.eom_token_id')).to.equal(5);
    expect(tokenizerFromGguf(metadata, silent).eosIds).to.deep.equal([2, 4, 5]);
  });

  const refusals: readonly (readonly [string, () => Tokenizer, RegExp])[] = [
    ['without its json', () => ({...pieces(), json: undefined}), /not made from a vocabulary file/],
    ['of another model', () => pieces({}, {type: 'WordLevel'}), /WordLevel, not BPE/],
    ['with a pre-tokenizer', () => pieces({pre_tokenizer: {type: 'Whitespace'}}), /neither.*nor.*Llama 2/],
    ['with merges left out', () => pieces({}, {merges: ['a a', 'a b', 'a aa']}), /would merge "aa" and "a"/],
    ['with characters kept apart', () => pieces({}, {fuse_unk: false}), /fuse_unk is false/],
    ['with ends that GGUF does not name', () => ({...pieces(), eosIds: [2, 4, 5, 6]}), /4 ends/],
    ['whose end is none', () => ({...pieces(), eosIds: []}), /"<\/s>" is not one of its ends/],
    [
      'with a token that takes spaces',
      () =>
        pieces({added_tokens: [{id: 3, content: '\u2581', special: true, normalized: false, lstrip: true}]}),
      /lstrip/,
    ],
    [
      'with a token found in normalized text',
      () => pieces({added_tokens: [{id: 9, content: '<x>', special: false, normalized: true}]}),
      /"<x>" is looked for in the normalized text/,
    ],
    [
      'with other tokens around a text',
      () =>
        pieces({
          post_processor: {
            type: 'TemplateProcessing',
            single: [{SpecialToken: {id: 'a', type_id: 0}}, {Sequence: {id: 'A', type_id: 0}}],
            pair: [{Sequence: {id: 'A', type_id: 0}}],
            special_tokens: {a: {id: 'a', ids: [4], tokens: ['a']}},
          },
        }),
      /puts around a text/,
    ],
  ];
  for (const [what, tokenizer, message] of refusals) {
    it(`is refused ${what}`, () => {
      const given = tokenizer();
      expect(() => tokenizerToGguf(given, given.vocabSize)).to.throw(ModelError, message);
    });
  }

  it('is refused if the model has fewer rows than it has tokens', () => {
    expect(() => tokenizerToGguf(pieces(), 5)).to.throw(ModelError, /9 tokens, more than the 5/);
  });
});
