import {workgroupSize} from '../../backends/webgpu_programs.js';
import type {Tiles} from './webgpu_tiles.js';

/** Parts of a shader that makes weights of `scores`, an online softmax over tile after tile, with `rowMax`, `rowSum` and `rescale` of each row. */
interface SoftmaxText {
  /** Directives, variables and functions. */
  readonly declared: string;
  /** Once, before the first tile. */
  readonly begin: string;
  /** Weights of a tile's scores, to be followed by a barrier. */
  readonly weigh: string;
  /** After that barrier: what remains to be done for `rowSum`. */
  readonly sum: string;
}

/** The scores of a row lie side by side, `count` of them in each tile. A score of NaN stays what it is. */
export const softmaxText = (tiles: Tiles, subgroups: true | undefined): SoftmaxText =>
  subgroups === undefined ? byInvocation(tiles) : bySubgroup(tiles);

/** An invocation takes a row for its maximum and its sum; all take weights. */
const byInvocation = (tiles: Tiles): SoftmaxText => ({
  declared: '',
  begin: '',
  weigh: `if (local < ${tiles.rows}) {
          var largest = rowMax[local];
          for (var t = 0; t < count; t++) { largest = max(largest, scores[local * ${tiles.tokens} + t]); }
          rescale[local] = exp(max(rowMax[local] - largest, -200.0));
          rowMax[local] = largest;
        }
        workgroupBarrier();
        for (var i = local; i < ${tiles.rows * tiles.tokens}; i += ${workgroupSize}) {
          let score = scores[i];
          let weight = select(exp(score - rowMax[i / ${tiles.tokens}]), 0.0, score <= hidden);
          scores[i] = select(weight, score, isNaN(score));
        }`,
  sum: `if (local < ${tiles.rows}) {
          var sum = rowSum[local] * rescale[local];
          for (var t = 0; t < count; t++) { sum += scores[local * ${tiles.tokens} + t]; }
          rowSum[local] = sum;
        }
        `,
});

/**
 * A subgroup takes a row, its invocations the row's tokens, for maximum, weights and sum at once: two barriers less for each tile. WGSL does not
 * say which invocations are a subgroup, nor of what size: they count themselves, and the subgroups draw numbers.
 */
const bySubgroup = (tiles: Tiles): SoftmaxText => ({
  declared: `
    enable subgroups;
    var<workgroup> numbers : atomic<i32>;

    // its bounds are the same for all invocations of a subgroup, which no analysis of the text can know
    @diagnostic(off, subgroup_uniformity)
    fn weighRows(count : i32, first : i32, subgroups : i32) {
      let lane = i32(subgroupExclusiveAdd(1u));
      let lanes = i32(subgroupAdd(1u));
      for (var row = first; row < ${tiles.rows}; row += subgroups) {
        let at = row * ${tiles.tokens};
        let former = rowMax[row];
        var largest = former;
        for (var t = lane; t < count; t += lanes) {
          let score = scores[at + t];
          if (score > largest) { largest = score; }
        }
        largest = subgroupMax(largest);
        let factor = exp(max(former - largest, -200.0));
        var sum = 0.0;
        for (var t = lane; t < count; t += lanes) {
          let score = scores[at + t];
          var weight = select(exp(score - largest), 0.0, score <= hidden);
          weight = select(weight, score, isNaN(score));
          scores[at + t] = weight;
          sum += weight;
        }
        sum = subgroupAdd(sum);
        if (lane == 0) {
          rescale[row] = factor;
          rowMax[row] = largest;
          rowSum[row] = rowSum[row] * factor + sum;
        }
      }
    }`,
  begin: `var drawn = 0;
      if (subgroupElect()) { drawn = atomicAdd(&numbers, 1); }
      let subgroup = subgroupBroadcastFirst(drawn);
      workgroupBarrier();
      let subgroups = atomicLoad(&numbers);`,
  weigh: 'weighRows(count, subgroup, subgroups);',
  sum: '',
});
