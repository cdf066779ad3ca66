import type * as tf from '@tensorflow/tfjs';
import {integers, webgpuPrograms, type Shader} from '../backends/webgpu_programs.js';
import type {KernelInputs} from '../run_op.js';
import {type PackedFormat, inputsOfRecord, outputsOfRecord, recordsShape} from '../weights/formats.js';
import {weightsFunction} from '../weights/webgpu.js';
import type {UnpackAttributes, UnpackInputs} from './reference.js';

/** `unpack` on the GPU, bit for bit. */
export function unpackWebgpu(
  {records}: KernelInputs<UnpackInputs>,
  {format, inputs, outputs}: UnpackAttributes,
): tf.TensorInfo {
  const [groups, blocks] = recordsShape(format, inputs, outputs);
  return webgpuPrograms()!.run(
    unpackShader,
    {
      constants: {format},
      inputs: {matrix: records},
      uniforms: {inputs, outputs, blocks},
      work: (groups * outputsOfRecord * blocks * inputsOfRecord) / 16,
    },
    [inputs, outputs],
  );
}

/** Four inputs of four outputs per invocation; neighbours write neighbouring outputs. */
export const unpackShader: Shader<{format: PackedFormat}, 'inputs' | 'outputs' | 'blocks'> = {
  name: 'Unpack',
  uniforms: integers('inputs', 'outputs', 'blocks'),
  vectors: () => ['matrix'],
  code: ({format}) => `
    ${weightsFunction(format, true)}
    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      let sides = (uniforms.outputs + 7) / 8 * 2;
      let output = index % sides * 4;
      let input = index / sides * 4;
      let own = weights(output / 8, input / 32, input / 4 % 8, output / 4 % 2);
      for (var j = 0; j < 4; j++) {
        for (var i = 0; i < 4; i++) {
          if (input + j < uniforms.inputs && output + i < uniforms.outputs) {
            result[(input + j) * uniforms.outputs + output + i] = own[j][i];
          }
        }
      }
    }`,
};
