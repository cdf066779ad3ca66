import {expect} from 'chai';
import {readFile} from 'node:fs/promises';
import {type Tokenizer, streamDecoder, tokenizerFromJson} from '../../../models/tokenizer/index.js';
import {FormatError, ModelError} from '../../../base/errors.js';

/** What Python's tokenizers makes of every step and option (tools/tokenizer_goldens); null where it raises an error. */
interface Goldens {
  readonly models: Record<string, Json>;
  readonly cases: readonly Case[];
}
interface Case {
  readonly name: string;
  readonly file: Json & {readonly model: Json};
  /** A text, its ids, the ids without what stands around it, the ids where special tokens are text. */
  readonly texts: readonly [string, Ids, Ids?, Ids?][];
  /** Ids, their text, their text with special tokens. */
  readonly decoded: readonly [number[], string | null, (string | null)?][];
}
type Ids = number[] | null;
type Json = Record<string, unknown>;

const goldens: Goldens = JSON.parse(
  await readFile(new URL('../../golden/tokenizers/goldens.json', import.meta.url), 'utf8'),
);

/** What eigenkv does not take, and says so. Everything else is right. */
const refusedFiles: ReadonlyMap<string, RegExp> = new Map([
  ['post-processor: Sequence of two', /two post-processors/],
]);

function open({file}: Case): Tokenizer {
  const {of, ...options} = file.model;
  const model = typeof of === 'string' ? {...goldens.models[of], ...options} : file.model;
  return tokenizerFromJson({...file, model});
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

describe("tokenizers give what Python's tokenizers gives", () => {
  const warn = console.warn;
  before(() => (console.warn = () => undefined));
  after(() => (console.warn = warn));

  for (const golden of goldens.cases) {
    const {name, texts, decoded} = golden;
    const refusal = refusedFiles.get(name);
    if (refusal !== undefined) {
      it(`${name}: refused`, () => {
        expect(() => open(golden))
          .to.throw(refusal)
          .that.satisfies((error: unknown) => error instanceof ModelError || error instanceof FormatError);
      });
      continue;
    }
    it(name, () => {
      const tokenizer = open(golden);
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
    });
  }

  it('and stream it', () => {
    // of a decoder on its own, later tokens may change what the earlier ones became
    for (const golden of goldens.cases.filter(
      ({name}) => !name.startsWith('decoder:') && !refusedFiles.has(name),
    )) {
      const tokenizer = open(golden);
      for (const [ids, text, whole = text] of golden.decoded) {
        for (const [skipSpecial, expected] of [
          [true, text],
          [false, whole],
        ] as const) {
          if (expected === null) continue;
          const stream = streamDecoder(tokenizer, {skipSpecial});
          expect(ids.map(id => stream.push(id)).join('') + stream.flush(), golden.name).to.equal(expected);
        }
      }
    }
  });
});
