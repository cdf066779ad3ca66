import {expect} from 'chai';
import fc from 'fast-check';
import {InvalidArgumentError} from '../../../base/errors.js';
import {
  type CodeWidth,
  type SideTransform,
  type TransformProfile,
  measuredWidths,
  predictedDivergences,
  transformOf,
  widthsFor,
} from '../../../cache/codecs/transform_profile/index.js';
import {channelsOf, mixedAnalysis, mixedSynthesis} from '../../../cache/codecs/transform_profile/tables.js';
import {multiply64, transpose64} from '../../../ops/linalg/matrix64.js';
import {type GoldenArray, readGolden} from '../../support/golden.js';
import {randomFloats} from '../../support/random.js';

interface Golden {
  readonly depths: number;
  readonly kvHeads: number;
  readonly dim: number;
  readonly shrink: number;
  readonly covariances: GoldenArray;
  readonly metrics: GoldenArray;
  readonly analysis: GoldenArray;
  readonly synthesis: GoldenArray;
  readonly weights: GoldenArray;
  readonly budgets: readonly {
    readonly widths: readonly number[];
    readonly bits: number;
    readonly bytesPerToken: number;
    readonly predictedKl: number;
  }[];
}

const golden = readGolden('transform/transform.json') as Golden;

/** Part `index` of an array's first axis. */
function part({shape, data}: GoldenArray, index: number): number[] {
  const size = data.length / shape[0]!;
  return data.slice(index * size, (index + 1) * size);
}

function expectNear(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number): void {
  const largest = Math.max(...Array.from(expected, Math.abs));
  expect(actual.length).to.equal(expected.length);
  for (let i = 0; i < expected.length; i++) {
    expect(Math.abs(actual[i]! - expected[i]!), `number ${i}`).to.be.at.most(tolerance * largest);
  }
}

/** A profile whose heads have these weights, and random transforms. */
function profileOf(
  depths: number,
  kvHeads: number,
  dim: number,
  weightOf: (at: number) => number,
): TransformProfile {
  let at = 0;
  const side = (): SideTransform => ({
    kvHeads,
    dim,
    mean: new Float32Array(kvHeads * dim),
    analysis: randomFloats(at + 1, kvHeads * dim * dim),
    synthesis: randomFloats(at + 2, kvHeads * dim * dim),
    weights: Float64Array.from({length: kvHeads * dim}, () => weightOf(at++)),
    tokenScales: {mean: new Float64Array(kvHeads), deviation: new Float64Array(kvHeads)},
  });
  return {
    ...{fingerprint: '0'.repeat(16), tokens: 100, gradientTokens: 100, texts: ['random']},
    depths: Array.from({length: depths}, () => ({keys: side(), values: side()})),
  };
}

const goldenProfile = profileOf(golden.depths, golden.kvHeads, golden.dim, at => golden.weights.data[at]!);

const identityOf = (dim: number) =>
  Array.from({length: dim * dim}, (_, at) => (at % (dim + 1) === 0 ? 1 : 0));

describe('transforms of a calibration', () => {
  it('are those of NumPy', () => {
    const {dim, shrink} = golden;
    for (let head = 0; head < golden.covariances.shape[0]!; head++) {
      const made = transformOf(part(golden.covariances, head), part(golden.metrics, head), dim, {shrink});
      expectNear(made.analysis, part(golden.analysis, head), 1e-8);
      expectNear(made.synthesis, part(golden.synthesis, head), 1e-8);
      expectNear(made.weights, part(golden.weights, head), 1e-9);
    }
  });

  it('give uncorrelated channels whose errors cost independently of one another', () => {
    const dim = 12;
    const gram = (seed: number) => {
      const x = randomFloats(seed, 40 * dim);
      return multiply64(transpose64(x, 40, dim), x, dim, 40, dim);
    };
    const [covariance, metric] = [gram(1), gram(2)];
    const {analysis, synthesis, weights} = transformOf(covariance, metric, dim, {shrink: 0});
    const identity = identityOf(dim);
    const diagonal = identity.map((one, at) => one * weights[at % dim]!);
    const product = (a: ArrayLike<number>, b: ArrayLike<number>) => multiply64(a, b, dim, dim, dim);
    expectNear(product(analysis, synthesis), identity, 1e-9);
    expectNear(product(product(transpose64(analysis, dim, dim), covariance), analysis), identity, 1e-9);
    expectNear(product(product(synthesis, metric), transpose64(synthesis, dim, dim)), diagonal, 1e-9);
    expect([...weights]).to.deep.equal([...weights].sort((a, b) => b - a));
  });

  it('give directions in which the calibration hardly varied numbers that are not huge', () => {
    const dim = 16;
    const [covariance, metric] = [new Float64Array(dim * dim), new Float64Array(dim * dim)];
    for (let i = 0; i < dim; i++) {
      covariance[i * (dim + 1)] = i < 4 ? 1 : 0;
      metric[i * (dim + 1)] = 1;
    }
    const {analysis} = transformOf(covariance, metric, dim);
    // a token as far from the mean in such a direction as others are where they vary
    const unseen = multiply64(
      Float64Array.from({length: dim}, (_, i) => (i === 9 ? 1 : 0)),
      analysis,
      1,
      dim,
      dim,
    );
    expect(Math.max(...unseen.map(Math.abs))).to.be.at.most(100.001);
  });

  it('take what is known beforehand for the metric, of the same trace', () => {
    const dim = golden.dim;
    const [covariance, metric, prior] = [
      part(golden.covariances, 0),
      part(golden.metrics, 0),
      part(golden.metrics, 1),
    ];
    const trace = (of: readonly number[]) =>
      of.reduce((sum, x, at) => (at % (dim + 1) === 0 ? sum + x : sum), 0);
    const scaled = prior.map(x => (x * trace(metric)) / trace(prior));
    const mixed = metric.map((x, at) => 0.7 * x + 0.3 * scaled[at]!);
    const made = transformOf(covariance, metric, dim, {shrink: 0.3, prior});
    const expected = transformOf(covariance, mixed, dim, {shrink: 0});
    expectNear(made.weights, expected.weights, 1e-12);
    expectNear(made.analysis, expected.analysis, 1e-8);
  });

  it('exist for heads that never vary, vary in one direction only, or are never read', () => {
    const dim = 8;
    const zeros = new Float64Array(dim * dim);
    const [one, metric] = [Float64Array.from(zeros), Float64Array.from(zeros)];
    one[0] = 4;
    for (let i = 0; i < dim; i++) metric[i * dim + i] = 1 + i;
    for (const [covariance, of] of [
      [zeros, metric],
      [one, metric],
      [metric, zeros],
      [zeros, zeros],
    ] as const) {
      const {analysis, synthesis, weights} = transformOf(covariance, of, dim);
      expect([...analysis, ...synthesis, ...weights].every(Number.isFinite)).to.equal(true);
      const identity = identityOf(dim);
      expectNear(multiply64(analysis, synthesis, dim, dim, dim), identity, 1e-9);
      if (of === zeros || covariance === zeros) expect(Math.max(...weights)).to.equal(0);
    }
  });

  it('refuse statistics that are not finite', () => {
    expect(() => transformOf([NaN, 0, 0, 1], [1, 0, 0, 1], 2)).to.throw(InvalidArgumentError, /finite/);
  });
});

describe('widths of a profile', () => {
  it('are those of NumPy at every budget', () => {
    for (const {widths, bits, bytesPerToken, predictedKl} of golden.budgets) {
      for (const budget of [{bits}, {bytesPerToken}]) {
        const found = widthsFor(goldenProfile, budget);
        expect(found.depths.flatMap(({keys, values}) => [...keys, ...values]).flat()).to.deep.equal(widths);
        expect(found.bits).to.be.closeTo(bits, 1e-12);
        expect(found.bytesPerToken).to.equal(bytesPerToken);
        expect(found.predictedKl).to.be.closeTo(predictedKl, 1e-9 * predictedKl);
      }
    }
  });

  it('fill a budget, and no exchange of a bit between two groups predicts less', () => {
    fc.assert(
      fc.property(
        fc.integer({min: 0, max: 1e6}),
        fc.double({min: 0.1, max: 8, noNaN: true}),
        (seed, bits) => {
          const spread = randomFloats(seed, 2 * 2 * 2 * 16, 2);
          const profile = profileOf(2, 2, 16, at => Math.exp(spread[at]!));
          const found = widthsFor(profile, {bits});
          expect(found.bits).to.be.at.most(bits + 1e-9);
          expect(found.bits).to.be.above(bits - 2 * (8 / 128)); // the last step may be one of two bits
          const flat = found.depths
            .flatMap(({keys, values}) => [keys, values])
            .map(side => side.map(head => [...head]));
          const moved = (from: number, to: number): number => {
            const copy = flat.map(side => side.map(head => [...head]));
            const of = (i: number) => copy[i >> 2]![(i >> 1) & 1]!;
            const [a, b] = [of(from)[from & 1]!, of(to)[to & 1]!];
            if (a < 1 || a > 6 || b > 5) return Infinity;
            of(from)[from & 1] = (a - 1) as CodeWidth;
            of(to)[to & 1] = (of(to)[to & 1]! + 1) as CodeWidth;
            const depths = [0, 1].map(d => ({keys: copy[2 * d]!, values: copy[2 * d + 1]!}));
            return measuredWidths(profile, depths).predictedKl;
          };
          for (let from = 0; from < 16; from++) {
            for (let to = 0; to < 16; to++) {
              if (from !== to) expect(moved(from, to)).to.be.at.least(found.predictedKl * (1 - 1e-9));
            }
          }
        },
      ),
      {numRuns: 30},
    );
  });

  it('cost what their depths and sides cost', () => {
    const {depths, predictedKl} = widthsFor(goldenProfile, {bits: 2.5});
    const parts = predictedDivergences(goldenProfile, depths);
    expect(parts).to.have.length(golden.depths);
    expect(parts.reduce((sum, {keys, values}) => sum + keys + values, 0)).to.be.closeTo(predictedKl, 1e-15);
  });

  it('leave out what nothing reads', () => {
    const profile = profileOf(1, 2, 16, at => (at < 16 ? 1 : 0));
    const [{keys, values}] = widthsFor(profile, {bits: 6}).depths as [{keys: number[][]; values: number[][]}];
    expect(keys).to.deep.equal([
      [8, 8],
      [0, 0],
    ]);
    expect(values.flat()).to.deep.equal([0, 0, 0, 0]);
  });

  it('refuse budgets that no widths have, and say which some have', () => {
    for (const bits of [0, -1, 8.1, NaN, Infinity]) {
      expect(() => widthsFor(goldenProfile, {bits})).to.throw(InvalidArgumentError, /above 0 and at most 8/);
    }
    for (const bytesPerToken of [0, 9, 9 + 24 * 8 + 1, NaN]) {
      expect(() => widthsFor(goldenProfile, {bytesPerToken})).to.throw(
        InvalidArgumentError,
        /more than 9 bytes.* 201/,
      );
    }
    expect(widthsFor(goldenProfile, {bytesPerToken: 201}).bits).to.equal(8);
  });
});

describe('tables of a profile', () => {
  const tablesOf = (dim: number, widths: readonly CodeWidth[]) => {
    const gram = (seed: number) => {
      const x = randomFloats(seed, 300 * dim);
      return multiply64(transpose64(x, 300, dim), x, dim, 300, dim);
    };
    const head = transformOf(gram(3), gram(4), dim);
    const [base] = profileOf(1, 1, dim, () => 1).depths;
    const transform = {
      ...base!.keys,
      analysis: Float32Array.from(head.analysis),
      synthesis: Float32Array.from(head.synthesis),
      weights: head.weights,
    };
    const channels = channelsOf(transform);
    return {
      transform,
      channels,
      analysis: mixedAnalysis(transform, [widths]),
      synthesis: mixedSynthesis(transform, [widths]),
    };
  };

  for (const [dim, widths] of [
    [32, [5, 2, 2, 1]],
    [64, [8, 6, 4, 4, 4, 2, 2, 1]],
    [80, [4, 4, 4, 4, 4, 3, 3, 3, 3, 3]],
    [128, Array<CodeWidth>(16).fill(2)],
    [256, Array<CodeWidth>(32).fill(3)],
    [36, [4, 3, 3, 2, 2]], // 36 is padded to 40
  ] as const) {
    it(`give back tokens of dim ${dim} whose channels all have bits`, () => {
      const {channels, analysis, synthesis} = tablesOf(dim, widths);
      expect(channels).to.equal(8 * widths.length);
      expectNear(multiply64(analysis, synthesis, dim, channels, dim), identityOf(dim), 2e-5);
    });
  }

  it('mix the channels of one width only, and keep what they span', () => {
    const dim = 48;
    const {transform, ...tables} = tablesOf(dim, [5, 2, 2, 2, 1, 0]);
    const column = (of: Float32Array, from: number, to: number) =>
      Array.from({length: dim}, (_, i) =>
        Array.from({length: to - from}, (_, c) => of[i * dim + from + c]!),
      ).flat();
    for (const [from, to] of [
      [0, 8],
      [8, 32],
      [32, 40],
    ] as const) {
      const count = to - from;
      const rows = (of: Float32Array) => of.slice(from * dim, to * dim);
      const part = (a: Float32Array, b: Float32Array) =>
        multiply64(column(a, from, to), rows(b), dim, count, dim);
      expectNear(
        part(tables.analysis, tables.synthesis),
        part(transform.analysis, transform.synthesis),
        1e-5,
      );
      // every mixed channel takes from every channel of its width
      const mixed = multiply64(
        rows(transform.synthesis),
        column(tables.analysis, from, to),
        count,
        dim,
        count,
      );
      expect(Math.min(...Array.from(mixed, Math.abs))).to.be.above(0);
      expectNear(
        multiply64(mixed, transpose64(mixed, count, count), count, count, count),
        identityOf(count),
        1e-4,
      );
    }
    // channels without bits stay as they were
    expect(column(tables.analysis, 40, 48)).to.deep.equal(column(transform.analysis, 40, 48));
    expect(tables.synthesis.slice(40 * dim)).to.deep.equal(transform.synthesis.slice(40 * dim));
  });

  it('are the same each time', () => {
    expect(tablesOf(48, [2, 2, 2, 1, 1, 1])).to.deep.equal(tablesOf(48, [2, 2, 2, 1, 1, 1]));
  });

  it('refuse widths of another shape', () => {
    const {keys} = goldenProfile.depths[0]!;
    expect(() => mixedSynthesis(keys, [[1, 1]])).to.throw(InvalidArgumentError, /expected 2 heads with 2/);
    expect(() => mixedAnalysis(keys, [[1], [1]])).to.throw(InvalidArgumentError, /widthsFor/);
  });
});
