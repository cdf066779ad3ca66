import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {InvalidArgumentError} from '../../base/errors.js';
import {
  meanRotation,
  ropeFrequencies,
  rotationFor,
  type RopeConfig,
  type RopeScaling,
} from '../../ops/rotate/rope.js';
import {readGolden} from '../support/golden.js';
import {expectClose} from '../support/tensors.js';

interface RopeGolden {
  readonly name: string;
  readonly dim: number;
  readonly rope_theta: number;
  readonly max_position_embeddings: number;
  readonly rope_scaling: {readonly rope_type: string; readonly [key: string]: number | string} | null;
  readonly amplitude: number;
  readonly frequencies: number[];
}

const {cases} = readGolden('models/rope_frequencies.json') as {readonly cases: RopeGolden[]};

describe('rotationFor', () => {
  for (const golden of cases) {
    it(`rotates by the golden frequencies: ${golden.name}`, async () => {
      const [start, tokens] = [997, 3];
      const {cos, sin, interleaved} = rotationFor(configOf(golden), golden.dim, start, tokens);
      const angles = Array.from({length: tokens}, (_, t) =>
        golden.frequencies.map(f => (start + t) * f),
      ).flat();
      expect(interleaved).to.be.false;
      expect(cos.shape).to.deep.equal([tokens, golden.dim / 2]);
      // the golden frequencies have ten digits: a thousand tokens on, an angle is off by 1e-7 of a turn
      await expectClose(
        cos,
        angles.map(a => golden.amplitude * Math.cos(a)),
        1e-6,
      );
      await expectClose(
        sin,
        angles.map(a => golden.amplitude * Math.sin(a)),
        1e-6,
      );
      tf.dispose([cos, sin]);
    });
  }

  it('gives a later run of tokens what a longer one gives there', async () => {
    const long = rotationFor({theta: 10000}, 8, 0, 50);
    const late = rotationFor({theta: 10000}, 8, 40, 10);
    await expectClose(late.cos, tf.slice(long.cos, [40, 0], [10, -1]), 0);
    await expectClose(late.sin, tf.slice(long.sin, [40, 0], [10, -1]), 0);
  });

  it('has a mean over any number of tokens', async () => {
    for (const golden of cases) {
      for (const [start, tokens] of [
        [0, 1],
        [997, 1],
        [31, 6],
        [4096, 512],
      ] as const) {
        const {cos, sin} = rotationFor(configOf(golden), golden.dim, start, tokens);
        const mean = meanRotation(configOf(golden), golden.dim, start, tokens);
        const meanOf = (table: tf.Tensor2D) => {
          const [, pairs] = table.shape;
          const numbers = table.dataSync<'float32'>();
          return Array.from({length: pairs}, (_, pair) => {
            let sum = 0;
            for (let token = 0; token < tokens; token++) sum += numbers[token * pairs + pair]!;
            return sum / tokens;
          });
        };
        await expectClose(mean.cos, meanOf(cos), 1e-7 * golden.amplitude);
        await expectClose(mean.sin, meanOf(sin), 1e-7 * golden.amplitude);
        tf.dispose([cos, sin, mean.cos, mean.sin]);
      }
    }
    // the integral, which so many tokens are: of pairs that turn fast nothing is left
    const far = meanRotation({theta: 1e14, interleaved: true}, 4, 0, 2 ** 24);
    const turned = 2 ** 24 * 1e-7;
    expect(far.interleaved).to.equal(true);
    await expectClose(far.cos, [0, Math.sin(turned) / turned], 1e-6);
    await expectClose(far.sin, [0, (1 - Math.cos(turned)) / turned], 1e-6);
  });

  it('is exact to float32 at far positions', async () => {
    const position = 131_071;
    const {cos} = rotationFor({theta: 500_000}, 4, position, 1);
    await expectClose(cos, [Math.cos(position), Math.cos(position * 500_000 ** -0.5)], 1e-7);
  });

  it('rotates all channels or the first ones, in halves or interleaved', () => {
    expect(rotationFor({}, 8, 0, 2).cos.shape).to.deep.equal([2, 4]);
    expect(rotationFor({rotaryDim: 4}, 8, 0, 2).cos.shape).to.deep.equal([2, 2]);
    expect(rotationFor({interleaved: true}, 8, 0, 2).interleaved).to.be.true;
  });

  it('holds "dynamic" at its longest context, whatever the position', () => {
    const scaling: RopeScaling = {type: 'dynamic', factor: 2, originalMaxPositions: 64, maxPositions: 128};
    // theta * (2 * 128 / 64 - 1)^(8 / 6)
    const expected = ropeFrequencies({theta: 10000 * 3 ** (8 / 6)}, 8).frequencies;
    expect([...ropeFrequencies({scaling}, 8).frequencies]).to.deep.equal([...expected]);
    const short: RopeScaling = {...scaling, maxPositions: 32};
    expect([...ropeFrequencies({scaling: short}, 8).frequencies]).to.deep.equal([
      ...ropeFrequencies({}, 8).frequencies,
    ]);
  });

  it('divides each frequency by its own divisor, as GGUF stores them', () => {
    const scaling: RopeScaling = {type: 'divisors', divisors: [1, 2, 4, 8]};
    const plain = ropeFrequencies({}, 8).frequencies;
    expect([...ropeFrequencies({scaling}, 8).frequencies]).to.deep.equal(
      [...plain].map((f, i) => f / 2 ** i),
    );
    expect(() => ropeFrequencies({scaling}, 6)).to.throw(InvalidArgumentError, /4 divisors.*3 rotated pairs/);
  });

  it('refuses an odd, missing or too large number of rotating channels', () => {
    for (const rotaryDim of [0, -2, 3, 10]) {
      expect(() => rotationFor({rotaryDim}, 8, 0, 1)).to.throw(InvalidArgumentError, /rotaryDim = /);
    }
  });
});

/** A hub config's names in ours. */
function configOf(golden: RopeGolden): RopeConfig {
  const {rope_theta: theta, rope_scaling: hub, max_position_embeddings: maxPositions} = golden;
  if (hub === null) return {theta};
  const factor = Number(hub['factor']);
  const originalMaxPositions = Number(hub['original_max_position_embeddings']);
  const lowFreqFactor = Number(hub['low_freq_factor']);
  const highFreqFactor = Number(hub['high_freq_factor']);
  const scalings: Record<string, RopeScaling> = {
    linear: {type: 'linear', factor},
    llama3: {type: 'llama3', factor, originalMaxPositions, lowFreqFactor, highFreqFactor},
    yarn: {type: 'yarn', factor, originalMaxPositions},
    dynamic: {type: 'dynamic', factor, originalMaxPositions, maxPositions},
  };
  return {theta, scaling: scalings[hub.rope_type]!};
}
