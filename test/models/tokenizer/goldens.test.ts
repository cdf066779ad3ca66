import {expect} from 'chai';
import {streamDecoder} from '../../../models/tokenizer/index.js';
import {FormatError, ModelError} from '../../../base/errors.js';
import {expectGolden, goldens, openGolden} from './goldens.js';

/** What eigenkv does not take, and says so. Everything else is right. */
const refusedFiles: ReadonlyMap<string, RegExp> = new Map([
  ['post-processor: Sequence of two', /two post-processors/],
]);

describe("tokenizers give what Python's tokenizers gives", () => {
  const warn = console.warn;
  before(() => (console.warn = () => undefined));
  after(() => (console.warn = warn));

  for (const golden of goldens.cases) {
    const {name} = golden;
    const refusal = refusedFiles.get(name);
    if (refusal !== undefined) {
      it(`${name}: refused`, () => {
        expect(() => openGolden(golden))
          .to.throw(refusal)
          .that.satisfies((error: unknown) => error instanceof ModelError || error instanceof FormatError);
      });
      continue;
    }
    it(name, () => expectGolden(openGolden(golden), golden));
  }

  it('and stream it', () => {
    // of a decoder on its own, later tokens may change what the earlier ones became
    for (const golden of goldens.cases.filter(
      ({name}) => !name.startsWith('decoder:') && !refusedFiles.has(name),
    )) {
      const tokenizer = openGolden(golden);
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
