import type * as tf from '@tensorflow/tfjs';
import {InvalidArgumentError, shown} from '../../base/errors.js';
import {expectRank4, type LloydMaxEncoding} from '../encodings/encoding.js';
import {groupChannels, tileTokens} from '../encodings/lloyd_max_layout.js';
import {isWidth, type Width} from '../encodings/lloyd_max_levels.js';
import {requireExactIntegers} from '../exact_integers.js';
import {defineOp, runOp} from '../run_op.js';
import {quantizeLloydMaxReference} from './reference.js';
import './tensorflow.js';
import {quantizeLloydMaxWasm} from './wasm.js';
import {quantizeLloydMaxWebgpu} from './webgpu.js';

export {lloydMaxErrorBound} from './error_bound.js';

/**
 * Quantises tokens to the nearest of the levels that are best for normal numbers (Lloyd, 1982; Max, 1960), with one scale per token
 * and head. The scale is fitted twice, by the channels of more than 0 bits:
 *
 *     s0 = sqrt(mean(z^2))    c = nearest levels of z / s0    s = <z, c> / <c, c>    code = nearest level of z / s
 *
 * Both scales are rounded to 2^((e - 40) / 8), e an integer from 0 to 63: to the nearest by ratio. So numbers are best given with a
 * variance of about 1. Numbers beyond the outermost levels decode to these, and numbers of 0 bits to 0: see `lloydMaxErrorBound`.
 *
 * @param z float32 `[batch, kvHeads, tokens, dim]`, finite; tokens is a multiple of 16 and dim a multiple of 8.
 * @param widths `[kvHeads][dim / 8]`: the bits of each group of 8 channels, each 0, 1, 2, 3, 4, 5, 6 or 8.
 * @throws InvalidArgumentError if the shape or a width does not fit, BackendError if the backend has no exact 32-bit integers.
 */
export function quantizeLloydMax(z: tf.Tensor4D, widths: readonly (readonly Width[])[]): LloydMaxEncoding {
  checkArguments(z, widths);
  requireExactIntegers('Codes of few bits');
  const layout = {dim: z.shape[3], widths};
  const [codes, scales] = runOp(quantizeLloydMaxOp, {z}, layout);
  return {kind: 'lloydMax', ...layout, codes: codes!, scales: scales!};
}

function checkArguments(z: tf.Tensor4D, widths: readonly (readonly Width[])[]): void {
  expectRank4(z, 'z');
  const [, kvHeads, tokens, dim] = z.shape;
  if (tokens % tileTokens !== 0 || dim === 0 || dim % groupChannels !== 0) {
    throw new InvalidArgumentError(
      `z is [${z.shape.join(', ')}]; expected a multiple of ${tileTokens} tokens and of ${groupChannels} channels.`,
    );
  }
  const fits = widths.length === kvHeads && widths.every(({length}) => length * groupChannels === dim);
  if (fits && widths.flat().every(isWidth)) return;
  throw new InvalidArgumentError(
    `widths are ${shown(widths)}; expected ${kvHeads} rows (one per head) of ${dim / groupChannels} widths (one per ` +
      `${groupChannels} channels), each 0, 1, 2, 3, 4, 5, 6 or 8 bits.`,
  );
}

const quantizeLloydMaxOp = defineOp({
  name: 'QuantizeLloydMax',
  reference: quantizeLloydMaxReference,
  kernels: {
    wasm: quantizeLloydMaxWasm,
    webgpu: quantizeLloydMaxWebgpu,
  },
});
