import type * as tf from '@tensorflow/tfjs';
import {bytesOfRows, wordsOfRows} from '../backends/tensorflow_bytes.js';
import {withTensorflow} from '../backends/tensorflow_ops.js';
import {tileTokens, vectorsOfHead, wordsOfTile, type LloydMaxLayout} from '../encodings/lloyd_max_layout.js';
import {exponentsOfTiles, packExponents} from '../encodings/lloyd_max_tensorflow.js';
import {withCheckedIndices} from '../gather_tokens/tensorflow.js';
import {registerKernel, type KernelInputs} from '../run_op.js';
import type {GatherTiledInputs} from './reference.js';

registerKernel('GatherTiled', 'tensorflow', gatherTiledTensorflow);

/** `gatherTiled` by TensorFlow's ops. Bytes are gathered as float32, which there is a kernel for. */
function gatherTiledTensorflow(
  {codes, scales, indices}: KernelInputs<GatherTiledInputs>,
  layout: LloydMaxLayout,
): tf.TensorInfo[] {
  const {widths} = layout;
  const [batch, kvHeads, kept] = indices.shape;
  const [tiles, keptTiles] = [codes.shape[2], kept / tileTokens];
  const vectors = widths.map(vectorsOfHead);
  const all = vectors.reduce((sum, count) => sum + count, 0);
  return withCheckedIndices(indices, tiles * tileTokens, 1, () =>
    withTensorflow(ops => {
      const at = ops.of(indices);
      const exponents = ops.cast(exponentsOfTiles(ops, ops.of(scales), kvHeads), 'float32');
      const byHead = ops.reshape(ops.transpose(exponents, [0, 2, 1, 3]), [
        batch,
        kvHeads,
        tiles * tileTokens,
      ]);
      const chosen = ops.reshape(ops.gather(byHead, at, 2, 2), [batch, kvHeads, keptTiles, tileTokens]);
      const keptScales = packExponents(ops, ops.transpose(chosen, [0, 2, 1, 3]));
      if (all === 0) return [ops.constant([], [batch, 1, keptTiles, 0], 'int32'), keptScales];
      const bytes = ops.reshape(bytesOfRows(ops, ops.of(codes)), [batch, tiles, all, tileTokens]);
      let first = 0;
      const heads = vectors.flatMap((count, head) => {
        if (count === 0) return [];
        const own = ops.cast(ops.part(bytes, 2, first, count), 'float32');
        first += count;
        const rows = ops.reshape(ops.transpose(own, [0, 1, 3, 2]), [batch, tiles * tileTokens, count]);
        const gathered = ops.gather(rows, ops.reshape(ops.part(at, 1, head, 1), [batch, kept]), 1, 1);
        return [ops.transpose(ops.reshape(gathered, [batch, keptTiles, tileTokens, count]), [0, 1, 3, 2])];
      });
      const words = wordsOfRows(ops, ops.cast(ops.concat(heads, 2), 'uint8'));
      return [ops.reshape(words, [batch, 1, keptTiles, wordsOfTile(layout)]), keptScales];
    }),
  );
}
