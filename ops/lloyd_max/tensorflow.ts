import type * as tf from '@tensorflow/tfjs';
import {wordsOfRows} from '../backends/tensorflow_bytes.js';
import {type Handle, type TensorflowOps, withTensorflow} from '../backends/tensorflow_ops.js';
import {
  groupChannels,
  inverseScales,
  tileTokens,
  type LloydMaxLayout,
} from '../encodings/lloyd_max_layout.js';
import {levelsOf, planesOf, type Width} from '../encodings/lloyd_max_levels.js';
import {packExponents, planeTables} from '../encodings/lloyd_max_tensorflow.js';
import {registerKernel, type KernelInputs} from '../run_op.js';

registerKernel('QuantizeLloydMax', 'tensorflow', quantizeLloydMaxTensorflow);

/**
 * `quantizeLloydMax` by TensorFlow's ops. Sums are in float32, so that it may choose the neighbouring scale if a fitted one is as near to
 * both. Numbers lie as `[kvHeads, dim, batch * tokens]`: a channel is a row.
 */
function quantizeLloydMaxTensorflow(
  {z}: KernelInputs<{z: tf.Tensor4D}>,
  layout: LloydMaxLayout,
): tf.TensorInfo[] {
  const {dim, widths} = layout;
  const [batch, kvHeads, tokens] = z.shape;
  const [count, tiles] = [batch * tokens, tokens / tileTokens];
  return withTensorflow(ops => {
    const rows = ops.reshape(ops.transpose(ops.of(z), [1, 3, 0, 2]), [kvHeads, dim, count]);
    const exponents = fittedExponents(ops, rows, layout);
    const levels = nearestOf(ops, ops.mul(rows, inverseOf(ops, exponents)), layout, 'codes');
    const byTile = ops.transpose(ops.reshape(exponents, [kvHeads, batch, tiles, tileTokens]), [1, 2, 0, 3]);
    const {vectors} = planeTables(layout);
    const codes =
      vectors === 0
        ? ops.constant([], [batch, 1, tiles, 0], 'int32')
        : ops.reshape(
            wordsOfRows(
              ops,
              ops.transpose(
                ops.reshape(packedVectors(ops, ops.reshape(levels, [kvHeads * dim, count]), widths, dim), [
                  vectors,
                  batch,
                  tiles,
                  tileTokens,
                ]),
                [1, 2, 0, 3],
              ),
            ),
            [batch, 1, tiles, (vectors * tileTokens) / 4],
          );
    return [codes, packExponents(ops, byTile)];
  });
}

/** The exponents of the tokens' scales, float32 `[kvHeads, 1, tokens]`: of the root mean square first, then of the best factor. */
function fittedExponents(ops: TensorflowOps, z: Handle, layout: LloydMaxLayout): Handle {
  const {dim, widths} = layout;
  const isCoded = ops.floats(
    widths.flatMap(ofHead => ofHead.flatMap(bits => Array<number>(groupChannels).fill(bits === 0 ? 0 : 1))),
    [widths.length, dim, 1],
  );
  const counts = widths.map(ofHead => Math.max(1, groupChannels * ofHead.filter(bits => bits > 0).length));
  const coded = ops.mul(z, isCoded);
  const meanSquare = ops.div(
    ops.sum(ops.mul(coded, coded), 1, true),
    ops.floats(counts, [widths.length, 1, 1]),
  );
  const first = exponentsOf(ops, ops.sqrt(meanSquare));
  const levels = nearestOf(ops, ops.mul(z, inverseOf(ops, first)), layout, 'levels');
  const product = ops.sum(ops.mul(z, levels), 1, true);
  return exponentsOf(ops, ops.divNoNan(product, ops.sum(ops.mul(levels, levels), 1, true)));
}

function exponentsOf(ops: TensorflowOps, scale: Handle): Handle {
  const nearest = ops.round(ops.add(ops.mul(ops.log(scale), 8 / Math.LN2), 40));
  return ops.minimum(ops.maximum(nearest, 0), 63);
}

const inverseOf = (ops: TensorflowOps, exponents: Handle): Handle =>
  ops.gather(ops.floats(inverseScales), ops.cast(exponents, 'int32'));

/** The nearest level of each number, or its code; 0 for channels of 0 bits. `[kvHeads, dim, tokens]` all. */
function nearestOf(
  ops: TensorflowOps,
  numbers: Handle,
  {dim, widths}: LloydMaxLayout,
  what: 'levels' | 'codes',
): Handle {
  const count = numbers.shape[2]!;
  const bitsOf = widths.flatMap(ofHead => ofHead.flatMap(bits => Array<Width>(groupChannels).fill(bits)));
  const rows = ops.reshape(numbers, [bitsOf.length, count]);
  const order: number[] = [];
  const parts = [...new Set(bitsOf)].map(bits => {
    const own = bitsOf.flatMap((width, row) => (width === bits ? [row] : []));
    order.push(...own);
    if (bits === 0) return ops.floats(new Float32Array(own.length * count), [own.length, count]);
    const {midpoints, ...tables} = levelsOf(bits);
    const values = ops.reshape(ops.gather(rows, ops.constant(own, [own.length], 'int32')), [
      1,
      own.length * count,
    ]);
    const index = ops.run('LowerBound', [ops.floats(midpoints, [1, midpoints.length]), values], {
      ...{T: 'float32', out_type: 'int32'},
    });
    return ops.reshape(ops.gather(ops.floats(tables[what]), index), [own.length, count]);
  });
  const places = new Int32Array(order.length);
  for (const [place, row] of order.entries()) places[row] = place;
  const sorted = ops.gather(ops.concat(parts, 0), ops.constant(places, [places.length], 'int32'));
  return ops.reshape(sorted, [widths.length, dim, count]);
}

/** The bytes of all vectors, uint8 `[vectors, tokens]`, of codes float32 `[kvHeads * dim, tokens]`. */
function packedVectors(
  ops: TensorflowOps,
  codes: Handle,
  widths: LloydMaxLayout['widths'],
  dim: number,
): Handle {
  const [channels, count] = codes.shape as [number, number];
  const lowerSizes = widths.flatMap(ofHead =>
    ofHead.flatMap(bits => Array<number>(groupChannels).fill(2 ** (planesOf(bits)[1]?.bits ?? 0))),
  );
  const sizes = ops.floats(lowerSizes, [channels, 1]);
  const upper = ops.floor(ops.div(codes, sizes));
  const lower = ops.sub(codes, ops.mul(upper, sizes));
  const values = ops.concat([upper, lower], 0);
  const order: number[] = [];
  const parts = planeTables({dim, widths}).classes.map(({bits, vectors, channels: own, isLower}) => {
    order.push(...vectors);
    const rows = own.map((channel, i) => channel + (isLower[i]! ? channels : 0));
    const places = ops.reshape(ops.gather(values, ops.constant(rows, [rows.length], 'int32')), [
      vectors.length,
      8 / bits,
      count,
    ]);
    const weights = Array.from({length: 8 / bits}, (_, i) => 2 ** (bits * i));
    return ops.sum(ops.mul(places, ops.floats(weights, [weights.length, 1])), 1);
  });
  const places = new Int32Array(order.length);
  for (const [place, vector] of order.entries()) places[vector] = place;
  return ops.cast(ops.gather(ops.concat(parts, 0), ops.constant(places, [places.length], 'int32')), 'uint8');
}
