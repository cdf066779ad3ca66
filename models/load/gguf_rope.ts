import {ModelError} from '../../ops/errors.js';
import type {RopeConfig, RopeScaling} from '../../ops/rotate/rope.js';
import type {TensorFile} from '../../ops/files/tensor_file.js';
import type {GgufKeys} from './config_keys.js';

const frequencyDivisors = 'rope_freqs.weight';

/**
 * Rotary positions from a GGUF file's metadata, and from `rope_freqs.weight` where it has that tensor. Pairs are halves:
 * loading puts the rows of interleaved ones in that order.
 * @throws ModelError for a rotation of a part of each head, or an unknown type of scaling.
 */
export async function ropeFromGguf(
  file: TensorFile,
  keys: GgufKeys,
  headDim: number,
  context: number,
): Promise<RopeConfig> {
  const rotaryDim = keys.number('rope.dimension_count') ?? headDim;
  if (rotaryDim !== headDim) {
    throw new ModelError(
      `The GGUF file rotates ${rotaryDim} of a head's ${headDim} channels (rope.dimension_count); eigenkv rotates whole heads.`,
    );
  }
  const divisors = file.tensors.get(frequencyDivisors);
  if (divisors !== undefined && divisors.shape.join() !== String(headDim / 2)) {
    throw new ModelError(
      `The GGUF file has divisors [${divisors.shape.join(', ')}] (${frequencyDivisors}); heads of ${headDim} need [${headDim / 2}].`,
    );
  }
  const scaling = divisors
    ? {type: 'divisors' as const, divisors: Array.from(await file.readFloat32(frequencyDivisors))}
    : scalingFromGguf(keys, context);
  return {theta: keys.number('rope.freq_base') ?? 10000, ...(scaling && {scaling})};
}

function scalingFromGguf(keys: GgufKeys, context: number): RopeScaling | undefined {
  const older = keys.number('rope.scale_linear');
  const type = keys.string('rope.scaling.type') ?? (older === undefined ? 'none' : 'linear');
  const factor = keys.number('rope.scaling.factor') ?? older;
  if (type === 'none' || (type === 'linear' && (factor === undefined || factor === 1))) return undefined;
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
    // llama.cpp multiplies what yarn itself gives by this key
    attentionFactor:
      (keys.number('rope.scaling.attn_factor') ?? 1) * (0.1 * Math.log(Math.max(factor, 1)) + 1),
    ...(betaFast !== undefined && {betaFast}),
    ...(betaSlow !== undefined && {betaSlow}),
  };
}
