import type * as tf from '@tensorflow/tfjs';
import {sizeOf} from './webgpu_device.js';
import {integers, viewAlignment, webgpuPrograms, type Shader} from './webgpu_programs.js';

// A shader binds at most `mostBytes` of a tensor: 128 MiB unless the device promises more, which is 8,192 tokens of 32 heads of
// 128. Larger tensors are processed some heads at a time, through views of the same buffers. Heads that lie side by side in a row
// stay together: those are processed some texts at a time.

type Infos = Record<string, tf.TensorInfo | undefined>;

/**
 * The same kernel for tensors and results that may be larger than a binding.
 *
 * @param kernel computes each key head independently; tensors with axes `[batch, heads, ...]` have a multiple of the key heads,
 *   and tensors of fewer axes than three are shared by all heads.
 * @param keyed the input or inputs that have the key heads: `[batch, kvHeads, ...]`, or `[batch, 1, ...]` if heads lie side by side.
 * @param numbersOfHead how many numbers of 32 bits the result has per key head (per text if heads lie side by side), if that may
 *   be more than any input has.
 */
export function byHeads<Inputs extends Infos, Attributes>(
  kernel: (inputs: Inputs, attributes: Attributes) => tf.TensorInfo,
  keyed: (keyof Inputs & string) | readonly (keyof Inputs & string)[],
  numbersOfHead: (inputs: Inputs, attributes: Attributes) => number = () => 0,
): (inputs: Inputs, attributes: Attributes) => tf.TensorInfo {
  return (inputs, attributes) => {
    const programs = webgpuPrograms()!;
    const [batch, kvHeads] = [keyed]
      .flat()
      .map(name => headShapeOf(inputs[name]!))
      .reduce((fewest, shape) => (shape[1] < fewest[1] ? shape : fewest));
    const heads = batch * kvHeads;
    const largest = Object.values<tf.TensorInfo | undefined>(inputs).reduce(
      (most, tensor) =>
        tensor && isOfHeads(tensor, heads) ? Math.max(most, sizeOf(tensor.shape) / heads) : most,
      numbersOfHead(inputs, attributes),
    );
    // at least one: if that is too much, the kernel's own error says so
    const atOnce = Math.max(1, Math.floor(programs.mostBytes / (4 * largest)));
    if (atOnce >= heads) return kernel(inputs, attributes);
    let out: tf.TensorInfo | undefined;
    for (let from = 0; from < heads; from += atOnce) {
      const count = Math.min(atOnce, heads - from);
      const parts = Object.entries<tf.TensorInfo | undefined>(inputs).flatMap(([name, tensor]) =>
        tensor === undefined ? [] : [{name, ...partOf(tensor, heads, kvHeads === 1, from, count)}],
      );
      const given = Object.fromEntries(parts.map(({name, tensor}) => [name, tensor]));
      const result = kernel({...inputs, ...given}, attributes);
      out ??= programs.make(
        kvHeads === 1 ? [batch, ...result.shape.slice(1)] : wholeShape(result.shape, count, [batch, kvHeads]),
        result.dtype === 'int32' ? 'int32' : 'float32',
      );
      copyNumbers(result, 0, out, (from * sizeOf(result.shape)) / count, sizeOf(result.shape));
      programs.dispose(result);
      parts.forEach(({drop}) => drop());
    }
    return out!;
  };
}

const headShapeOf = ({shape}: tf.TensorInfo): [number, number] => [shape[0]!, shape[1]!];
const headsOf = (tensor: tf.TensorInfo): number => headShapeOf(tensor)[0] * headShapeOf(tensor)[1];
const isOfHeads = (tensor: tf.TensorInfo, heads: number): boolean =>
  tensor.shape.length > 2 && headsOf(tensor) % heads === 0;

/** `[1, m * count, ...]` of `count` key heads, as the shape of all of `[batch, kvHeads]`. */
function wholeShape(part: readonly number[], count: number, [batch, kvHeads]: [number, number]): number[] {
  return [batch, (part[1]! / count) * kvHeads, ...part.slice(2)];
}

/** A tensor's numbers of `count` key heads (or texts) from `from` on: a view if its offset allows, else a copy. */
function partOf(tensor: tf.TensorInfo, heads: number, isOfTexts: boolean, from: number, count: number) {
  if (!isOfHeads(tensor, heads)) return {tensor, drop: () => undefined};
  const programs = webgpuPrograms()!;
  const shape = isOfTexts
    ? [count, ...tensor.shape.slice(1)]
    : [1, (headsOf(tensor) / heads) * count, ...tensor.shape.slice(2)];
  const offset = (from * sizeOf(tensor.shape)) / heads;
  if (offset % viewAlignment === 0) {
    const view = programs.view(tensor, offset, shape);
    return {tensor: view, drop: () => programs.dropView(view)};
  }
  const copy = programs.make(shape, tensor.dtype === 'int32' ? 'int32' : 'float32');
  copyNumbers(tensor, offset, copy, 0, sizeOf(shape));
  return {tensor: copy, drop: () => programs.dispose(copy)};
}

/** Copies numbers of 32 bits, bit for bit, between tensors of any size. */
export function copyNumbers(
  source: tf.TensorInfo,
  sourceFrom: number,
  target: tf.TensorInfo,
  targetFrom: number,
  count: number,
): void {
  if (count === 0) return;
  const from = bindable(source, sourceFrom, count);
  const to = bindable(target, targetFrom, count);
  webgpuPrograms()!.runInPlace(
    copyShader,
    {
      constants: {type: target.dtype === 'int32' ? 'i32' : 'f32'},
      inputs: {numbers: from.tensor},
      uniforms: {numbersAt: from.at, resultAt: to.at},
      work: count,
    },
    to.tensor,
  );
  from.drop();
  to.drop();
}

/** A tensor, or a view of it if it is too large, and the index at which the wanted numbers begin. */
function bindable(tensor: tf.TensorInfo, from: number, count: number) {
  const programs = webgpuPrograms()!;
  if (4 * sizeOf(tensor.shape) <= programs.mostBytes) return {tensor, at: from, drop: () => undefined};
  const at = from % viewAlignment;
  const view = programs.view(tensor, from - at, [at + count]);
  return {tensor: view, at, drop: () => programs.dropView(view)};
}

/** One invocation per number. */
export const copyShader: Shader<{type: 'i32' | 'f32'}, 'numbersAt' | 'resultAt'> = {
  name: 'CopyNumbers',
  uniforms: integers('numbersAt', 'resultAt'),
  code: ({type}) => `
    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      result[uniforms.resultAt + index] = ${type}(numbers[uniforms.numbersAt + index]);
    }`,
};
