import {expect} from 'chai';
import {readFile} from 'node:fs/promises';
import {tokenizerFromJson} from '../../../models/tokenizer/index.js';
import {FormatError, ModelError} from '../../../base/errors.js';

interface Golden {
  readonly tokenizer: Readonly<Record<string, unknown>>;
  readonly texts: readonly string[];
  readonly cases: Readonly<Record<string, Case>>;
}

interface Case {
  readonly files: Readonly<Record<string, unknown>>;
  readonly added: readonly (readonly [id: number, content: string, special: boolean])[];
  readonly bos: number | null;
  readonly eos: number;
  readonly ids: readonly (readonly number[])[];
  readonly decoded: readonly string[];
}

const path = new URL('../../golden/weights/configured_tokens.json', import.meta.url);
const {tokenizer: json, texts, cases} = JSON.parse(await readFile(path, 'utf8')) as Golden;

function load(files: Readonly<Record<string, unknown>>) {
  const warnings: string[] = [];
  const tokenizer = tokenizerFromJson(
    json,
    files['tokenizer_config.json'],
    {specialTokensMap: files['special_tokens_map.json'], addedTokens: files['added_tokens.json']},
    message => warnings.push(message),
  );
  return {tokenizer, warnings};
}

describe('tokens that only the files beside tokenizer.json name', () => {
  for (const [name, {files, added, bos, eos, ids, decoded}] of Object.entries(cases)) {
    it(`are those of the hub's library: ${name}`, () => {
      const {tokenizer, warnings} = load(files);
      expect(tokenizer.eosIds[0]).to.equal(eos);
      if (bos !== null) expect(tokenizer.bosId).to.equal(bos);
      const table = tokenizer.json!.added_tokens as {id: number; content: string; special: boolean}[];
      expect(table.map(({id, content, special}) => [id, content, special]).sort()).to.deep.equal(
        added.map(token => [...token]).sort(),
      );
      texts.forEach((text, i) => {
        const given = tokenizer.encode(text, {addSpecial: false});
        expect(given, text).to.deep.equal(ids[i]);
        expect(tokenizer.decode(given), text).to.equal(decoded[i]);
      });
      expect(warnings.length).to.equal(name === 'ids that leave a gap' ? 1 : 0);
    });
  }

  it('are in the tokenizer.json that is saved of them', () => {
    const {tokenizer} = load(cases['a list by ids']!.files);
    const again = tokenizerFromJson(JSON.parse(JSON.stringify(tokenizer.json)));
    expect(again.encode('the end<|im_end|>')).to.deep.equal(tokenizer.encode('the end<|im_end|>'));
    expect(again.eosIds).to.include(268);
  });

  it('are said where they get another id than the one listed', () => {
    const [warning] = load(cases['ids that leave a gap']!.files).warnings;
    expect(warning).to.include('"<|im_start|>" (290, now 267), "<|im_end|>" (300, now 268)');
  });

  it('end a text where they are special and spelled so', () => {
    const {tokenizer} = load(cases['a list by ids']!.files);
    expect(tokenizer.eosIds).to.have.members([2, 268]);
  });

  const end = {content: '<|im_end|>', special: true};
  const wrong: Record<string, [Record<string, unknown>, typeof FormatError | typeof ModelError, RegExp]> = {
    'a config that is a list': [
      {'tokenizer_config.json': []},
      FormatError,
      /tokenizer_config.json is not a JSON object/,
    ],
    'a map that is text': [{'special_tokens_map.json': 'x'}, FormatError, /special_tokens_map.json is not/],
    'added tokens that are a list': [{'added_tokens.json': []}, FormatError, /added_tokens.json is not/],
    'an id that is text': [{'added_tokens.json': {x: '5'}}, FormatError, /maps "x" to "5"/],
    'a decoder that is a list': [
      {'tokenizer_config.json': {added_tokens_decoder: [end]}},
      FormatError,
      /added_tokens_decoder of tokenizer_config.json is not/,
    ],
    'a decoder without ids': [
      {'tokenizer_config.json': {added_tokens_decoder: {x: end}}},
      FormatError,
      /without id or content: {"x"/,
    ],
    'a decoder without contents': [
      {'tokenizer_config.json': {added_tokens_decoder: {267: {special: true}}}},
      FormatError,
      /without id or content: {"267"/,
    ],
    'a token of endless length': [
      {'tokenizer_config.json': {pad_token: 'x'.repeat(2000)}},
      ModelError,
      /added tokens are too long/,
    ],
  };
  for (const [fault, [files, type, message]] of Object.entries(wrong)) {
    it(`are refused with ${fault}`, () => {
      expect(() => load(files)).to.throw(type, message);
    });
  }
});
