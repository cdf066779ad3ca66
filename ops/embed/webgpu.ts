import type * as tf from '@tensorflow/tfjs';
import {sizeOf} from '../backends/webgpu_device.js';
import {integers, type Shader} from '../backends/webgpu_programs.js';
import type {KernelInputs} from '../run_op.js';
import {type WeightFormat, inputsOfRecord, outputsOfRecord} from '../weights/formats.js';
import {weightsFunction} from '../weights/webgpu.js';
import {type Groups, runByParts} from '../weights/webgpu_parts.js';
import type {EmbedAttributes, EmbedInputs} from './reference.js';

/** `embed` on the GPU, bit for bit; zeros for an id that names no row. */
export function embedWebgpu(
  {ids, table}: KernelInputs<EmbedInputs>,
  {format, rows, dim}: EmbedAttributes,
): tf.TensorInfo {
  const run = ({records, first}: Groups) => ({
    constants: {format},
    inputs: {ids, matrix: records},
    uniforms: {
      ...{dim, blocks: Math.ceil(dim / inputsOfRecord)},
      firstRow: outputsOfRecord * first,
      rows:
        format === 'float32'
          ? rows
          : Math.min(rows - outputsOfRecord * first, outputsOfRecord * records.shape[0]!),
    },
    work: sizeOf(ids.shape) * Math.ceil(dim / 4),
  });
  return runByParts(embedShader, table, run, [...ids.shape, dim]);
}

/** Four numbers of a row per invocation. A part of the table stores its own rows; the first one zeros for all others. */
export const embedShader: Shader<{format: WeightFormat}, 'dim' | 'blocks' | 'firstRow' | 'rows'> = {
  name: 'Embed',
  uniforms: integers('dim', 'blocks', 'firstRow', 'rows'),
  vectors: ({format}) => (format === 'float32' ? [] : ['matrix']),
  code: ({format}) => `
    ${format === 'float32' ? '' : weightsFunction(format, true)}
    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let fours = (uniforms.dim + 3) / 4;
      let token = index / fours;
      let channel = index % fours * 4;
      let row = ids[token] - uniforms.firstRow;
      let isHere = row >= 0 && row < uniforms.rows;
      if (!isHere && uniforms.firstRow > 0) { return; }
      let here = select(0, row, isHere);
      ${format === 'float32' ? '' : 'let own = weights(here / 8, channel / 32, channel / 4 % 8, here / 4 % 2);'}
      for (var j = 0; j < 4; j++) {
        if (channel + j < uniforms.dim) {
          let number = ${format === 'float32' ? 'matrix[here * uniforms.dim + channel + j]' : 'own[j][here % 4]'};
          result[token * uniforms.dim + channel + j] = select(0.0, number, isHere);
        }
      }
    }`,
};
