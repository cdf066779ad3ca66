import * as tf from '@tensorflow/tfjs';
import type {LloydMaxEncoding} from '../encodings/encoding.js';
import {exponentAt, groupChannels, scales, scaleWords, tileTokens} from '../encodings/lloyd_max_layout.js';
import {levelsOf, type Width} from '../encodings/lloyd_max_levels.js';
import {hostNumbers} from '../host_numbers.js';

/**
 * The largest |z - decoded| that the scales and widths of an encoding of z allow, but for the rounding of float32: half the largest
 * distance of neighbouring levels times the scale, or, for a number beyond the levels, its distance from the outermost one.
 *
 * @param z float32 `[batch, kvHeads, tokens, dim]`, as it was given to `quantizeLloydMax`.
 * @returns float32 of the same shape.
 */
export function lloydMaxErrorBound(z: tf.Tensor4D, encoding: LloydMaxEncoding): tf.Tensor4D {
  const [batch, kvHeads, tokens, dim] = z.shape;
  const [, , tiles, columns] = encoding.scales.shape;
  const words = hostNumbers(encoding.scales);
  const limits = encoding.widths.map(widths => widths.map(limitsOf));
  const bounds = Float32Array.from(hostNumbers(z), Math.abs);
  for (let row = 0; row < batch * kvHeads * tokens; row++) {
    const [head, token] = [Math.floor(row / tokens), row % tokens];
    const tile = Math.floor(head / kvHeads) * tiles + Math.floor(token / tileTokens);
    const at = tile * columns + (head % kvHeads) * scaleWords;
    const scale = scales[exponentAt(words, at, token % tileTokens)]!;
    for (let channel = 0; channel < dim; channel++) {
      const {largest, halfGap} = limits[head % kvHeads]![Math.floor(channel / groupChannels)]!;
      const magnitude = bounds[row * dim + channel]!;
      bounds[row * dim + channel] = Math.max(scale * halfGap, magnitude - scale * largest);
    }
  }
  return tf.tensor4d(bounds, z.shape);
}

function limitsOf(width: Width): {largest: number; halfGap: number} {
  const {levels} = levelsOf(width);
  const gaps = Array.from(levels.subarray(1), (level, i) => level - levels[i]!);
  return {largest: levels.at(-1)!, halfGap: Math.max(0, ...gaps) / 2};
}
