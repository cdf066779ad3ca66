import {expect} from 'chai';
import fc from 'fast-check';
import {mergesFromScores} from '../../../models/tokenizer/merges_from_scores.js';

/** The definition: every cut of every token, ordered by score and ids. */
function everyCut(tokens: readonly string[], scores: readonly number[], types: readonly number[]) {
  const idOf = (token: string) => tokens.findIndex((one, id) => one === token && [1, 4].includes(types[id]!));
  return tokens
    .flatMap((token, id) =>
      [1, 4].includes(types[id]!)
        ? Array.from(
            token.slice(1),
            (_, i) => [idOf(token.slice(0, i + 1)), idOf(token.slice(i + 1)), scores[id]!] as const,
          )
        : [],
    )
    .filter(([left, right]) => left >= 0 && right >= 0)
    .sort((a, b) => b[2] - a[2] || a[0] - b[0] || a[1] - b[1])
    .map(([left, right]) => [tokens[left]!, tokens[right]!]);
}

describe('merges from scores', () => {
  it('are all cuts of all tokens in the order of scores and ids', () => {
    const token = fc.string({unit: fc.constantFrom('a', 'b', '\u2581'), minLength: 1, maxLength: 6});
    const row = fc.record({
      token,
      score: fc.integer({min: -3, max: 0}),
      type: fc.constantFrom(1, 1, 1, 4, 3, 5),
    });
    fc.assert(
      fc.property(fc.uniqueArray(row, {selector: ({token: text}) => text, maxLength: 60}), rows => {
        const tokens = rows.map(({token: text}) => text);
        const [scores, types] = [rows.map(({score}) => score), rows.map(({type}) => type)];
        expect(mergesFromScores({tokens, scores, types})).to.deep.equal(everyCut(tokens, scores, types));
      }),
    );
  });

  it('of nothing are none', () => {
    expect(mergesFromScores({tokens: [], scores: [], types: []})).to.deep.equal([]);
  });
});
