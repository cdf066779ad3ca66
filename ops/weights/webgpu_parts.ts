import type * as tf from '@tensorflow/tfjs';
import {sizeOf} from '../backends/webgpu_device.js';
import {type Shader, type ShaderRun, viewAlignment, webgpuPrograms} from '../backends/webgpu_programs.js';

/** Groups of eight outputs of a matrix, from the group `first` on. */
export interface Groups {
  /** Their records; or a float32 matrix, which is never parted: its outputs lie side by side. */
  readonly records: tf.TensorInfo;
  readonly first: number;
}

/**
 * Runs a shader over the records of a matrix, and over one part after the other if they are larger than a binding: 128 MiB unless the
 * device promises more, while a head of 128,256 x 2,048 takes 279 MB in 8 bits.
 *
 * @param runOf one run, which stores what belongs to its groups.
 * @param shape of the result.
 */
export function runByParts<Constants extends object, Uniform extends string>(
  shader: Shader<Constants, Uniform>,
  records: tf.TensorInfo,
  runOf: (groups: Groups) => ShaderRun<Constants, Uniform>,
  shape: readonly number[],
): tf.TensorInfo {
  const programs = webgpuPrograms()!;
  const {mostBytes} = programs;
  const [groups = 0, ...group] = records.shape;
  if (group.length < 2 || 4 * sizeOf(records.shape) <= mostBytes) {
    return programs.run(shader, runOf({records, first: 0}), shape); // which refuses a float32 matrix that is too large
  }
  const atOnce = alignedGroups * Math.max(1, Math.floor(mostBytes / (4 * alignedGroups * sizeOf(group))));
  let result: tf.TensorInfo | undefined;
  for (let first = 0; first < groups; first += atOnce) {
    const part = programs.view(records, first * sizeOf(group), [Math.min(atOnce, groups - first), ...group]);
    const run = runOf({records: part, first});
    if (result === undefined) result = programs.run(shader, run, shape);
    else programs.runInPlace(shader, run, result);
    programs.dropView(part);
  }
  return result!;
}

/** A record has a multiple of eight words, so this many groups end where a binding may begin. */
const alignedGroups = viewAlignment / 8;
