import type * as tf from '@tensorflow/tfjs';
import {byHeads} from '../backends/webgpu_heads.js';
import {integers, webgpuPrograms, type Shader} from '../backends/webgpu_programs.js';
import {quotientFunction} from '../backends/webgpu_quotient.js';
import {
  groupsOfRow,
  integerFunctions,
  planesOf,
  tokensOfGroup,
  wordsOfPlane,
  wordsOfRow,
} from '../encodings/integer.js';
import type {KernelInputs} from '../run_op.js';
import type {FinerStepsAttributes, QuantizeOptions} from './reference.js';

export const groupParametersWebgpu = byHeads(groupParameters, 'x');

function groupParameters({x}: KernelInputs<{x: tf.Tensor4D}>, options: QuantizeOptions): tf.TensorInfo {
  const [batch, heads, tokens, dim] = x.shape;
  const {groupAxis, groupSize, bits, symmetric} = options;
  const [rows, columns] = [tokens / tokensOfGroup(options), groupsOfRow(options)];
  return webgpuPrograms()!.run(
    groupParametersShader,
    {
      constants: {groupAxis, groupSize, bits, symmetric},
      inputs: {x},
      uniforms: {dim, columns},
      work: batch * heads * rows * columns,
    },
    [batch, heads, rows, columns],
    'int32',
  );
}

export const packCodesWebgpu = byHeads(packCodes, 'x');

function packCodes(
  {x, params}: KernelInputs<{x: tf.Tensor4D; params: tf.Tensor4D}>,
  options: QuantizeOptions,
): tf.TensorInfo {
  const [batch, heads, tokens, dim] = x.shape;
  const {groupAxis, groupSize, bits} = options;
  const words = wordsOfRow(options);
  return webgpuPrograms()!.run(
    packCodesShader,
    {
      constants: {groupAxis, groupSize, bits},
      inputs: {x, params},
      uniforms: {
        ...{dim, words, tokens},
        upperWords: wordsOfPlane(dim, planesOf(bits)[0]!.bits),
        ...{paramRows: params.shape[2], paramColumns: params.shape[3]},
      },
      work: batch * heads * tokens * words,
    },
    [batch, heads, tokens, words],
    'int32',
  );
}

export const finerStepsWebgpu = byHeads(finerSteps, 'params');

function finerSteps(
  {params}: KernelInputs<{params: tf.Tensor4D}>,
  {halvings}: FinerStepsAttributes,
): tf.TensorInfo {
  const work = params.shape.reduce((product, length) => product * length, 1);
  return webgpuPrograms()!.run(
    finerStepsShader,
    {constants: {}, inputs: {params}, uniforms: {halvings}, work},
    params.shape,
    'int32',
  );
}

/** One invocation per group. Exponents alone change: of the scale in bits 24 to 31, and of the zero point in bits 10 to 14. */
export const finerStepsShader: Shader<object, 'halvings'> = {
  name: 'FinerSteps',
  uniforms: integers('halvings'),
  code: () => `
    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let word = bitcast<u32>(params[index]);
      let halvings = u32(uniforms.halvings);
      let isZero = (word & 0x7fffu) == 0u;
      let least = (word & 0x7fffu) + (halvings << 10u);
      let changes = (word >> 24u) > halvings && (isZero || least <= 0x7800u);
      let finer = word - (halvings << 24u) + select(halvings << 10u, 0u, isZero);
      result[index] = bitcast<i32>(select(word, finer, changes));
    }`,
};

type ParameterConstants = Pick<QuantizeOptions, 'groupAxis' | 'groupSize' | 'bits' | 'symmetric'>;

/** One invocation per group. */
export const groupParametersShader: Shader<ParameterConstants, 'dim' | 'columns'> = {
  name: 'GroupParameters',
  uniforms: integers('dim', 'columns'),
  code: ({groupAxis, groupSize, bits, symmetric}) => `
    ${quotientFunction}
    // the bits of a number that is not negative, rounded up to 8 bits of mantissa
    fn roundUp(number : f32) -> u32 { return (bitcast<u32>(number) + 0x7fffu) & 0x7fff8000u; }
    // the largest multiple of 1/256 in float16 that is not above a number
    fn zeroBelow(number : f32) -> f32 {
      let unit = max(bitcast<f32>(bitcast<u32>(number) & 0x7f800000u) * ${2 ** -10}, ${2 ** -8});
      let inverse = bitcast<f32>(0x7f000000u - bitcast<u32>(unit));
      return floor(number * inverse) * unit;
    }

    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let column = index % uniforms.columns;
      let row = index / uniforms.columns;
      ${
        groupAxis === 'channel'
          ? `let start = row * ${groupSize} * uniforms.dim + column; let step = uniforms.dim; let count = ${groupSize};`
          : `let start = row * uniforms.dim + column * ${groupSize}; let step = 1;
      let count = min(${groupSize}, uniforms.dim - column * ${groupSize});`
      }
      var low = f32(x[start]);
      var high = low;
      for (var i = 1; i < count; i++) {
        let number = f32(x[start + i * step]);
        low = min(low, number);
        high = max(high, number);
      }
      let largest = max(abs(low), abs(high));
      ${
        symmetric
          ? `let scale = roundUp(quotient(largest, ${2 ** (bits - 1) - 1}.0));
      let zero = ${-(2 ** (bits - 1))}.0;`
          : `let lowest = quotient(low, ${2 ** bits - 1 - 2 ** -8});
      let range = quotient(high, ${2 ** bits - 1 - 2 ** -8}) - lowest + abs(lowest) * ${2 ** -10};
      let scale = roundUp(max(range, largest * ${2 ** -15}));
      let zero = zeroBelow(quotient(low, bitcast<f32>(scale)));`
      }
      let zeroBits = select(pack2x16float(vec2<f32>(zero, 0.0)), 0u, zero == 0.0);
      result[index] = select(bitcast<i32>(((scale << 1u) & 0xffff0000u) | zeroBits), 0, scale == 0u);
    }`,
};

type PackConstants = Pick<QuantizeOptions, 'groupAxis' | 'groupSize' | 'bits'>;
type PackUniform = 'dim' | 'words' | 'upperWords' | 'tokens' | 'paramRows' | 'paramColumns';

/** One invocation per word. */
export const packCodesShader: Shader<PackConstants, PackUniform> = {
  name: 'PackCodes',
  uniforms: integers('dim', 'words', 'upperWords', 'tokens', 'paramRows', 'paramColumns'),
  code: ({groupAxis, groupSize, bits}) => {
    const [upper, lower] = planesOf(bits);
    const number = (ofUpper: number, ofLower: number | undefined) =>
      ofLower === undefined ? String(ofUpper) : `select(${ofUpper}, ${ofLower}, isLower)`;
    return `
    ${integerFunctions}${quotientFunction}
    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let row = index / uniforms.words;
      let token = row % uniforms.tokens;
      let head = row / uniforms.tokens;
      let column = index % uniforms.words;
      let isLower = column >= uniforms.upperWords;
      let bits = ${number(upper!.bits, lower?.bits)};
      let shift = u32(${number(upper!.shift, lower?.shift)});
      let first = (column - select(0, uniforms.upperWords, isLower)) * (32 / bits);
      var word = 0u;
      for (var e = 0; e < 32 / bits; e++) {
        let channel = first + e;
        if (channel >= uniforms.dim) { break; }
        let groupRow = head * uniforms.paramRows + ${groupAxis === 'channel' ? `token / ${groupSize}` : 'token'};
        let groupColumn = ${groupAxis === 'channel' ? 'channel' : `channel / ${groupSize}`};
        let group = bitcast<u32>(params[groupRow * uniforms.paramColumns + groupColumn]);
        let scale = integerScale(group);
        if (scale != 0.0) {
          let steps = round(quotient(f32(x[row * uniforms.dim + channel]), scale) - integerZero(group));
          let code = u32(clamp(steps, 0.0, ${2 ** bits - 1}.0));
          word |= ((code >> shift) & ((1u << u32(bits)) - 1u)) << u32(bits * e);
        }
      }
      result[index] = bitcast<i32>(word);
    }`;
  },
};
