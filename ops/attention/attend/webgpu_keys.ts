import * as tf from '@tensorflow/tfjs';
import {integers, webgpuPrograms, workgroupSize, type Shader} from '../../backends/webgpu_programs.js';
import type {TokenLayout} from '../../encodings/token_kinds.js';
import {decodeFunctions, loadFunction} from '../../encodings/webgpu.js';
import type {KernelInputs} from '../../run_op.js';
import {rebuildingOf} from './stored_keys.js';
import type {KeyAttributes, KeyInputs} from './types.js';

// Queries and keys as shaders of attention take them. A shader binds eight buffers on every device, and keys that are rebuilt
// and rotated alone would need seven; so their basis, mean and tables follow the queries in one buffer.

type Infos = KernelInputs<KeyInputs & {queries: tf.Tensor4D}>;

/** What the text of a shader depends on, as far as the keys are concerned. */
export interface KeyConstants {
  readonly keys: TokenLayout;
  /** Whether each token has a bias. */
  readonly biased?: true;
  /** Whether `tile` holds numbers of 16 bits. */
  readonly halves?: true;
  /** If keys are latents that were stored before their rotation. */
  readonly rebuilt?: {
    readonly dim: number;
    readonly pairs: number;
    readonly interleaved: boolean;
    readonly mean: boolean;
    /** Whether each token has a position of its own; else they are a run that begins at row 0 of the tables. */
    readonly positions: boolean;
  };
}

/** The dim of keys and queries in scores. */
export const keyDim = ({keys, rebuilt}: KeyConstants): number => rebuilt?.dim ?? keys.dim;

export const keyUniforms = integers(
  'keyRows',
  'keyParamRows',
  'biasRows',
  'positionRows',
  'basisAt',
  'meanAt',
  'cosAt',
  'sinAt',
);

interface PreparedKeys {
  readonly constants: KeyConstants;
  readonly inputs: Readonly<Record<string, tf.TensorInfo | undefined>>;
  readonly uniforms: {readonly [Name in keyof typeof keyUniforms]: number};
  /** Frees what was made for this run. */
  dispose(): void;
}

/** The keys' side of a run over `tokens` tokens. */
export function prepareKeys(inputs: Infos, attributes: KeyAttributes, tokens: number): PreparedKeys {
  const {queries, keyData, keyParams, bias} = inputs;
  const {keys} = attributes;
  const rebuilding = rebuildingOf(inputs, attributes);
  const rows = {
    keyRows: keyData.shape[2],
    keyParamRows: keyParams?.shape[2] ?? 0,
    biasRows: bias?.shape[2] ?? 0,
  };
  const biased = bias && ({biased: true} as const);
  if (rebuilding?.basis === undefined) {
    const none = {positionRows: 0, basisAt: 0, meanAt: 0, cosAt: 0, sinAt: 0};
    return {
      constants: {keys, ...biased},
      inputs: {queries, keyData, keyParams, bias},
      uniforms: {...rows, ...none},
      dispose: () => undefined,
    };
  }
  const {basis, mean, cos, sin, interleaved, positions, firstPosition} = rebuilding;
  const pairs = cos.shape[1];
  const tableSize = (positions === undefined ? tokens : cos.shape[0]) * pairs;
  const sizes = {queriesSize: sizeOf(queries), basisSize: sizeOf(basis), meanSize: sizeOf(mean), tableSize};
  const meanAt = sizes.queriesSize + sizes.basisSize;
  const cosAt = meanAt + sizes.meanSize;
  const programs = webgpuPrograms()!;
  const packed = programs.run(
    packShader,
    {
      constants: {mean: mean !== undefined},
      inputs: {queries, basis, mean, cos, sin},
      uniforms: {...sizes, tableFrom: firstPosition * pairs},
      work: cosAt + 2 * tableSize,
    },
    [cosAt + 2 * tableSize],
  );
  const rebuilt = {
    ...{dim: basis.shape[3], pairs, interleaved},
    ...{mean: mean !== undefined, positions: positions !== undefined},
  };
  return {
    constants: {keys, rebuilt, ...biased},
    inputs: {queries: packed, keyData, keyParams, positions, bias},
    uniforms: {
      ...rows,
      ...{positionRows: positions?.shape[2] ?? 0, basisAt: sizes.queriesSize},
      ...{meanAt, cosAt, sinAt: cosAt + tableSize},
    },
    dispose: () => programs.dispose(packed),
  };
}

const sizeOf = (tensor: tf.TensorInfo | undefined): number =>
  tensor === undefined ? 0 : tf.util.sizeFromShape(tensor.shape);

/** As the token of the first query: every query sees all tokens. */
export const everyToken = 2 ** 30;

type PackUniform = 'queriesSize' | 'basisSize' | 'meanSize' | 'tableSize' | 'tableFrom';

/** Queries, basis, mean, cosines and sines, one after another. */
export const packShader: Shader<{mean: boolean}, PackUniform> = {
  name: 'PackKeys',
  uniforms: integers('queriesSize', 'basisSize', 'meanSize', 'tableSize', 'tableFrom'),
  code: ({mean}) => `
    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      var at = index;
      if (at < uniforms.queriesSize) { result[index] = f32(queries[at]); return; }
      at -= uniforms.queriesSize;
      if (at < uniforms.basisSize) { result[index] = f32(basis[at]); return; }
      at -= uniforms.basisSize;
      ${mean ? 'if (at < uniforms.meanSize) { result[index] = f32(mean[at]); return; }' : ''}
      at -= uniforms.meanSize;
      if (at < uniforms.tableSize) { result[index] = f32(cos[uniforms.tableFrom + at]); return; }
      result[index] = f32(sin[uniforms.tableFrom + at - uniforms.tableSize]);
    }`,
};

/** Floats of workgroup memory beyond `tile` that `loadKeys` takes for each of its tokens. */
export const latentFloats = ({keys, rebuilt}: KeyConstants): number => (rebuilt === undefined ? 0 : keys.dim);

/** WGSL of what tiles of 16 bits need: the nearest number that they hold, the largest for those beyond; NaN and infinities stay. */
export const halvesText = `
    enable f16;
    fn half(number : f32) -> f16 {
      let isFinite = (bitcast<u32>(number) & 0x7fffffffu) < 0x7f800000u;
      return select(f16(number), f16(clamp(number, -65504.0, 65504.0)), isFinite);
    }`;

/** WGSL of a number as `tile` holds it. */
export const tileNumber =
  (halves: true | undefined) =>
  (text: string): string =>
    halves ? `half(${text})` : text;

/**
 * WGSL of `fn loadKeys(head, start, count)`: loads tokens of a head, as attention reads them, to `tile[row * stride + channel]`.
 * To be called in uniform control flow; a barrier must follow.
 */
export function loadKeysText(constants: KeyConstants, tileTokens: number, stride: number): string {
  const {keys, rebuilt, halves} = constants;
  const number = tileNumber(halves);
  const names = {data: 'keyData', params: 'keyParams'};
  const rows = {dataRows: 'uniforms.keyRows', paramRows: 'uniforms.keyParamRows'};
  if (rebuilt === undefined)
    return loadFunction('loadKeys', keys, {...names, ...rows}, {array: 'tile', stride, number});
  const {dim, pairs, interleaved, mean, positions} = rebuilt;
  const rank = keys.dim;
  // an invocation rebuilds the same pair of channels of some tokens: it reads the basis once for all of them
  const block = Math.min(4, tileTokens);
  const meanOf = (channel: string) =>
    mean ? `queries[uniforms.meanAt + head * ${dim} + ${channel}]` : '0.0';
  const ofBlock = (text: (token: number) => string) =>
    Array.from({length: block}, (_, t) => text(t)).join(' ');
  return `
    var<workgroup> latents : array<f32, ${tileTokens * rank}>;
    ${loadFunction('loadLatents', keys, {...names, ...rows}, {array: 'latents', stride: rank})}
    fn loadKeys(head : i32, start : i32, count : i32) {
      loadLatents(head, start, count);
      workgroupBarrier();
      let blocks = (count + ${block - 1}) / ${block};
      for (var i = i32(localIndex); i < blocks * ${dim - pairs}; i += ${workgroupSize}) {
        let row = i / ${dim - pairs} * ${block};
        let pair = i % ${dim - pairs};
        let paired = pair < ${pairs};
        let first = ${interleaved ? `select(${pairs} + pair, 2 * pair, paired)` : `select(${pairs} + pair, pair, paired)`};
        let second = ${interleaved ? 'select(first, 2 * pair + 1, paired)' : `select(first, pair + ${pairs}, paired)`};
        let meanA = ${meanOf('first')};
        let meanB = ${meanOf('second')};
        ${ofBlock(t => `var a${t} = meanA; var b${t} = meanB;`)}
        let basis = uniforms.basisAt + head * ${rank * dim};
        for (var r = 0; r < ${rank}; r++) {
          let basisA = queries[basis + r * ${dim} + first];
          let basisB = queries[basis + r * ${dim} + second];
          ${ofBlock(t => `let z${t} = latents[(row + ${t}) * ${rank} + r]; a${t} += z${t} * basisA; b${t} += z${t} * basisB;`)}
        }
        ${ofBlock(t => `if (row + ${t} < count) { placeKey(head, start, row + ${t}, pair, first, second, a${t}, b${t}); }`)}
      }
    }

    // a pair of channels of a token, rotated; a channel without a partner as it is
    fn placeKey(head : i32, start : i32, row : i32, pair : i32, first : i32, second : i32, a : f32, b : f32) {
      if (pair >= ${pairs}) {
        tile[row * ${stride} + first] = ${number('a')};
        return;
      }
      let position = ${positions ? 'positions[head * uniforms.positionRows + start + row]' : 'start + row'};
      let c = queries[uniforms.cosAt + position * ${pairs} + pair];
      let s = queries[uniforms.sinAt + position * ${pairs} + pair];
      tile[row * ${stride} + first] = ${number('a * c - b * s')};
      tile[row * ${stride} + second] = ${number('b * c + a * s')};
    }`;
}

/**
 * WGSL of `fn capped(score)`: a scaled score, capped if there is a cap. tanh as in ops/assembly/math.ts: that of WGSL may lose small numbers, and
 * is NaN of large ones on some devices.
 */
export const capText = (capped: true | undefined): string =>
  capped
    ? `
    fn capped(score : f32) -> f32 {
      let x = score / uniforms.softCap;
      let size = abs(x);
      if (size < 0.625) {
        let s = x * x;
        let p = (((-5.70498872745e-3 * s + 2.06390887954e-2) * s - 5.37397155531e-2) * s + 1.33314422036e-1) * s - 3.33332819422e-1;
        return uniforms.softCap * (x + x * s * p);
      }
      return uniforms.softCap * sign(x) * (1.0 - 2.0 / (exp(min(2.0 * size, 18.0)) + 1.0));
    }`
    : 'fn capped(score : f32) -> f32 { return score; }';

/** WGSL of what is added to the score of a token of a head, if anything is. */
export const biasText = ({biased}: KeyConstants, token: string): string =>
  biased === undefined ? '' : ` + f32(bias[head * uniforms.biasRows + ${token}])`;

/** WGSL functions that the text of keys and of further encodings needs. */
export const decodeText = ({keys}: KeyConstants, ...others: readonly TokenLayout[]): string =>
  decodeFunctions(keys, ...others);
