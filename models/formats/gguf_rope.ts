import {ModelError} from '../../base/errors.js';
import {type RopeConfig, type RopeScaling, ropeFrequencies} from '../../ops/rotate/rope.js';
import type {TensorFile} from '../../base/files/tensor_file.js';
import type {GgufTensor} from '../../base/files/write_gguf.js';
import {float32, uint32} from '../../base/files/write_gguf_metadata.js';
import type {GgufConfig} from '../architectures/parts/architecture.js';
import type {GgufKeys} from './config_keys.js';

const frequencyDivisors = 'rope_freqs.weight';
/** The two lists of divisors of longrope. */
const longFactors = 'rope_factors_long.weight';
const shortFactors = 'rope_factors_short.weight';

export interface GgufRopeOptions {
  readonly headDim: number;
  /** The model's context, in tokens. */
  readonly contextLength: number;
  /** Whether a part of each head may rotate. Default false: whole heads rotate. */
  readonly partial?: boolean;
}

/**
 * Rotary positions from a GGUF file's metadata, and from its tensors of divisors (`rope_freqs.weight`, or the two of longrope), if it has
 * them. Pairs are halves: loading puts the rows of interleaved ones in that order.
 * @throws ModelError for a rotation of a part of each head where whole ones must rotate, or an unknown type of scaling.
 */
export async function ropeFromGguf(
  file: TensorFile,
  keys: GgufKeys,
  {headDim, contextLength: context, partial = false}: GgufRopeOptions,
): Promise<RopeConfig> {
  const rotaryDim = keys.number('rope.dimension_count') ?? headDim;
  if (rotaryDim !== headDim && !partial) {
    throw new ModelError(
      `The GGUF file rotates ${rotaryDim} of a head's ${headDim} channels (rope.dimension_count); models of this architecture rotate whole heads.`,
    );
  }
  const divisorsIn = async (tensor: string) => {
    const shape = file.tensors.get(tensor)?.shape;
    if (shape === undefined) return undefined;
    if (shape.join() === String(rotaryDim / 2)) return file.readFloat32(tensor);
    throw new ModelError(
      `The GGUF file has divisors [${shape.join(', ')}] (${tensor}); heads of ${rotaryDim} need [${rotaryDim / 2}].`,
    );
  };
  const [long, short] = [await divisorsIn(longFactors), await divisorsIn(shortFactors)];
  const divisors = await divisorsIn(frequencyDivisors);
  const named = long && short ? longrope(keys, context, long, short) : scalingFromGguf(keys, context);
  const scaling = divisors ? withDivisors(divisors, named) : named;
  return {
    theta: keys.number('rope.freq_base') ?? 10000,
    ...(rotaryDim !== headDim && {rotaryDim}),
    ...(scaling && {scaling}),
  };
}

function longrope(keys: GgufKeys, context: number, long: Float32Array, short: Float32Array): RopeScaling {
  return {
    type: 'longrope',
    shortFactor: Array.from(short),
    longFactor: Array.from(long),
    maxPositions: context,
    originalMaxPositions: keys.number('rope.scaling.original_context_length') ?? context,
    attentionFactor: keys.number('rope.scaling.attn_factor') ?? 1,
  };
}

/** Frequencies are divided by both: by the numbers of the tensor, and by the factor of the metadata, as in llama.cpp. */
function withDivisors(divisors: Float32Array, named: RopeScaling | undefined): RopeScaling {
  if (named !== undefined && named.type !== 'linear') {
    throw new ModelError(
      `The GGUF file has rope.scaling.type = "${named.type}" and divisors of its own (${frequencyDivisors}); eigenkv takes one of them.`,
    );
  }
  const factor = named?.factor ?? 1;
  return {type: 'divisors', divisors: Array.from(divisors, divisor => divisor * factor)};
}

/** A factor without a type is linear, and a factor of 0 is none, as in llama.cpp. */
function scalingFromGguf(keys: GgufKeys, context: number): RopeScaling | undefined {
  const type = keys.string('rope.scaling.type') ?? 'linear';
  const factor = keys.number('rope.scaling.factor') ?? keys.number('rope.scale_linear');
  if (type === 'none' || (type === 'linear' && [undefined, 0, 1].includes(factor))) return undefined;
  if (type !== 'linear' && type !== 'yarn') {
    throw new ModelError(
      `The GGUF file has rope.scaling.type = "${type}"; eigenkv knows none, linear, yarn and ${frequencyDivisors}.`,
    );
  }
  if (factor === undefined || !(factor > 0)) {
    throw new ModelError(
      `The GGUF file has rope.scaling.type = "${type}" and rope.scaling.factor = ${factor ?? 'nothing'}.`,
    );
  }
  if (type === 'linear') return {type, factor};
  const betaFast = keys.number('rope.scaling.yarn_beta_fast');
  const betaSlow = keys.number('rope.scaling.yarn_beta_slow');
  return {
    type,
    factor,
    originalMaxPositions: keys.number('rope.scaling.original_context_length') ?? context,
    attentionFactor:
      ((keys.number('rope.scaling.attn_factor') ?? 1) * yarnMagnitude(factor)) /
      yarnMagnitude(factor, keys.number('rope.scaling.yarn_log_multiplier') ?? 0),
    ...(betaFast !== undefined && {betaFast}),
    ...(betaSlow !== undefined && {betaSlow}),
  };
}

/** What llama.cpp multiplies `rope.scaling.attn_factor` by, and divides by where the file names a weight. */
function yarnMagnitude(factor: number, weight = 1): number {
  return 0.1 * weight * Math.log(Math.max(factor, 1)) + 1;
}

/**
 * The keys and the tensor that `ropeFromGguf` reads as this rotation. Divisors of frequencies, which Llama 3's scaling becomes, are
 * rounded to float32.
 * @throws ModelError for a rotation that the format cannot state.
 */
export function ropeToGguf(
  rope: RopeConfig | undefined,
  headDim: number,
): Required<Pick<GgufConfig, 'keys' | 'tensors'>> {
  const {theta = 10000, rotaryDim = headDim, interleaved = false, scaling} = rope ?? {};
  if (rope === undefined || interleaved || scaling?.type === 'dynamic') {
    throw new ModelError(
      `A GGUF file cannot state the rotation ${JSON.stringify(rope ?? null)} of this model. Save the model into a folder instead (a path ` +
        'without .gguf).',
    );
  }
  const keys = {'rope.dimension_count': uint32(rotaryDim), 'rope.freq_base': float32(theta)};
  switch (scaling?.type) {
    case 'linear':
      return {keys: {...keys, ...scalingKeys(scaling)}, tensors: []};
    case 'yarn':
      return {keys: {...keys, ...yarnKeys(scaling)}, tensors: []};
    case 'llama3':
    case 'divisors': {
      return {keys, tensors: [divisorsTensor(frequencyDivisors, divisorsOf({theta, scaling}, rotaryDim))]};
    }
    case 'longrope':
      return {
        keys: {
          ...keys,
          'rope.scaling.type': 'longrope',
          'rope.scaling.original_context_length': uint32(scaling.originalMaxPositions),
          'rope.scaling.attn_factor': float32(ropeFrequencies(rope, headDim).magnitude),
        },
        tensors: [
          divisorsTensor(longFactors, Float32Array.from(scaling.longFactor)),
          divisorsTensor(shortFactors, Float32Array.from(scaling.shortFactor)),
        ],
      };
    default:
      return {keys, tensors: []};
  }
}

const divisorsTensor = (name: string, divisors: Float32Array): GgufTensor => ({
  ...{name, dtype: 'F32', shape: [divisors.length], values: () => divisors},
});

function divisorsOf({theta, scaling}: RopeConfig, rotaryDim: number): Float32Array {
  if (scaling?.type === 'divisors') return Float32Array.from(scaling.divisors);
  const scaled = ropeFrequencies({theta, scaling}, rotaryDim).frequencies;
  return Float32Array.from(
    ropeFrequencies({theta}, rotaryDim).frequencies,
    (frequency, i) => frequency / scaled[i]!,
  );
}

function scalingKeys({type, factor}: {readonly type: string; readonly factor: number}) {
  return {'rope.scaling.type': type, 'rope.scaling.factor': float32(factor)};
}

function yarnKeys(scaling: Extract<RopeScaling, {type: 'yarn'}>): GgufConfig['keys'] {
  const {factor, originalMaxPositions, betaFast, betaSlow, attentionFactor} = scaling;
  return {
    ...scalingKeys(scaling),
    'rope.scaling.original_context_length': uint32(originalMaxPositions),
    ...(attentionFactor !== undefined && {
      'rope.scaling.attn_factor': float32(attentionFactor / yarnMagnitude(factor)),
    }),
    ...(betaFast !== undefined && {'rope.scaling.yarn_beta_fast': float32(betaFast)}),
    ...(betaSlow !== undefined && {'rope.scaling.yarn_beta_slow': float32(betaSlow)}),
  };
}
