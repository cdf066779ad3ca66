import type {TensorFile} from '../../base/files/tensor_file.js';
import type {StoredWeight} from '../architectures/parts/architecture.js';

const query = /^(blk\.\d+\.attn_)q(\.weight|\.bias)$/;

/**
 * The tensors of a GGUF file in which queries, keys and values may be one, `attn_qkv`, though they are three in most files of their
 * architecture: old files of Phi-2, and those that llama.cpp's converter writes with `--fuse-qkv`.
 */
export function fusedAsInFile(
  weights: readonly StoredWeight[],
  {tensors}: Pick<TensorFile, 'tensors'>,
): StoredWeight[] {
  const byName = new Map(weights.map(weight => [weight.tensor, weight]));
  const fused = new Map<string, StoredWeight>();
  for (const [name, weight] of byName) {
    const [, stem, end] = query.exec(name) ?? [];
    const tensor = `${stem}qkv${end}`;
    if (stem === undefined || end === undefined || tensors.has(name) || !tensors.has(tensor)) continue;
    const parts = [weight, byName.get(`${stem}k${end}`), byName.get(`${stem}v${end}`)];
    const whole = joined(tensor, parts);
    if (whole !== undefined) parts.forEach(part => fused.set(part!.tensor, whole));
  }
  return [...new Set(weights.map(weight => fused.get(weight.tensor) ?? weight))];
}

/** Undefined if a part is not there, or the rotated pairs of queries and keys are neighbours, which values have not. */
function joined(tensor: string, parts: readonly (StoredWeight | undefined)[]): StoredWeight | undefined {
  const all = parts.flatMap(part =>
    part === undefined || part.interleavedHeads !== undefined ? [] : [part],
  );
  const [first] = all;
  if (first === undefined || all.length < parts.length) return undefined;
  const outputs = all.reduce((sum, {shape}) => sum + shape[0]!, 0);
  return {
    ...{tensor, transposed: first.transposed},
    shape: [outputs, ...first.shape.slice(1)],
    variables: all.flatMap(({variables}) => variables),
  };
}
