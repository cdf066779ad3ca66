import type * as tf from '@tensorflow/tfjs';
import {integers, webgpuPrograms, type Shader} from '../../backends/webgpu_programs.js';

/** `mergePartials` in one pass over up to seven partials. */
export const mergePartialsWebgpu = (inputs: Record<string, tf.TensorInfo>): tf.TensorInfo =>
  join(Object.values(inputs), 'output');

/** `partialLogSum` in one pass over up to seven partials. */
export const partialLogSumWebgpu = (inputs: Record<string, tf.TensorInfo>): tf.TensorInfo =>
  join(Object.values(inputs), 'logSum');

/** The result of a join: the partial of all tokens, the attention output, or max + ln(sum). */
type Joined = 'partial' | 'output' | 'logSum';

/** A shader binds eight buffers on every device: the result and this many partials. */
const mostInputs = 7;

function join(partials: readonly tf.TensorInfo[], joined: Joined): tf.TensorInfo {
  const programs = webgpuPrograms()!;
  if (partials.length > mostInputs) {
    const first = join(partials.slice(0, mostInputs), 'partial');
    const all = join([first, ...partials.slice(mostInputs)], joined);
    programs.dispose(first);
    return all;
  }
  const shape = partials[0]!.shape;
  const dim = shape[3]! - 2;
  const inputs = Object.fromEntries(partials.map((partial, i) => [`partial${i}`, partial]));
  return runJoin(inputs, {dim, joined, inputs: partials.length}, {parts: partials.length, shape});
}

/**
 * Joins the partials of a split over keys, which are stored one after another in one tensor.
 *
 * @param splits float32 `[parts, ...shape]`.
 * @returns the partial of all tokens, of `shape`.
 */
export function joinSplits(splits: tf.TensorInfo, shape: number[]): tf.TensorInfo {
  const constants = {dim: shape[3]! - 2, joined: 'partial' as const, inputs: 0};
  return runJoin({splits}, constants, {parts: splits.shape[0]!, shape});
}

function runJoin(
  inputs: Record<string, tf.TensorInfo>,
  constants: JoinConstants,
  {parts, shape}: {parts: number; shape: number[]},
): tf.TensorInfo {
  const [batch = 0, heads = 0, tokens = 0] = shape;
  const columns = columnsOf(constants);
  const rows = batch * heads * tokens;
  return webgpuPrograms()!.run(
    joinShader,
    {constants, inputs, uniforms: {parts, rows}, work: rows * columns},
    [batch, heads, tokens, columns],
  );
}

interface JoinConstants {
  readonly dim: number;
  readonly joined: Joined;
  /** How many tensors hold the partials; 0: all are in `splits`, one after another. */
  readonly inputs: number;
}

const columnsOf = ({dim, joined}: JoinConstants) => ({partial: dim + 2, output: dim, logSum: 1})[joined];

/** One invocation a number of the result. A partial with the sum 0 saw no token; its maximum of -Infinity is never read. */
export const joinShader: Shader<JoinConstants, 'parts' | 'rows'> = {
  name: 'JoinPartials',
  uniforms: integers('parts', 'rows'),
  code: constants => {
    const {dim, joined, inputs} = constants;
    const columns = columnsOf(constants);
    const results = {
      partial: `select(select(total, select(-uniforms.INFINITY, largest, sawAny(sum)), column == ${dim}), sum, column > ${dim})`,
      output: 'select(0.0, total / sum, sawAny(sum))',
      logSum: 'select(-uniforms.INFINITY, largest + log(sum), sawAny(sum))',
    };
    const cases = Array.from({length: inputs}, (_, i) => `case ${i}: { return f32(partial${i}[at]); }`);
    return `
    fn numberAt(part : i32, at : i32) -> f32 {
      ${
        inputs === 0
          ? `return f32(splits[part * uniforms.rows * ${dim + 2} + at]);`
          : `switch (part) { ${cases.join(' ')} default: { return 0.0; } }`
      }
    }

    // Whether a partial saw a token. By the bits of its sum: of NaN, comparisons may say anything.
    fn sawAny(sum : f32) -> bool {
      return (bitcast<u32>(sum) & 0x7fffffffu) != 0u;
    }

    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let column = index % ${columns};
      let start = (index / ${columns}) * ${dim + 2};
      var largest = -3.0e38;
      for (var part = 0; part < uniforms.parts; part++) {
        if (sawAny(numberAt(part, start + ${dim + 1}))) { largest = max(largest, numberAt(part, start + ${dim})); }
      }
      var total = 0.0;
      var sum = 0.0;
      for (var part = 0; part < uniforms.parts; part++) {
        let partSum = numberAt(part, start + ${dim + 1});
        if (sawAny(partSum)) {
          let factor = exp(max(numberAt(part, start + ${dim}) - largest, -200.0));
          sum += factor * partSum;
          total += factor * numberAt(part, start + column);
        }
      }
      result[index] = ${results[joined]};
    }`;
  },
};
