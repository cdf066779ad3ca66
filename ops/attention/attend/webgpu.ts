import type * as tf from '@tensorflow/tfjs';
import {byHeads} from '../../backends/webgpu_heads.js';
import {integers, webgpuPrograms, workgroupSize, type Shader} from '../../backends/webgpu_programs.js';
import {kvHeadsOf, type TokenLayout} from '../../encodings/token_kinds.js';
import {loadFunction} from '../../encodings/webgpu.js';
import type {KernelInputs} from '../../run_op.js';
import {joinSplits} from '../merge_partials/webgpu.js';
import type {AttendAttributes, AttendInputs} from './types.js';
import {firstVisible, noOldest, oldestVisible} from './visibility.js';
import {
  biasText,
  capText,
  decodeText,
  everyToken,
  halvesText,
  keyUniforms,
  loadKeysText,
  keyDim,
  prepareKeys,
  tileNumber,
  type KeyConstants,
} from './webgpu_keys.js';
import {softmaxText} from './webgpu_softmax.js';
import {tilesFor, type Tiles} from './webgpu_tiles.js';

/**
 * `attend` fused on the GPU: a workgroup takes some rows of queries of one key head over some of its tokens, tile by tile
 * through workgroup memory. If that makes too few workgroups (decoding), the tokens are split among several, each of
 * which gives a partial, and a second pass joins them (Flash-Decoding, Dao et al., 2023).
 */
export const attendWebgpu = byHeads(attendHeads, ['keyData', 'valueData']);

function attendHeads(inputs: KernelInputs<AttendInputs>, attributes: AttendAttributes): tf.TensorInfo {
  const programs = webgpuPrograms()!;
  const {tokens, scale, softCap, firstQuery = everyToken, values} = attributes;
  const [batch, heads, queryTokens] = inputs.queries.shape;
  const kvHeads = kvHeadsOf(attributes.keys, inputs.keyData);
  const shape = [batch, heads, queryTokens, values.dim + 2];
  if (tokens === 0) {
    const work = batch * heads * queryTokens * (values.dim + 2);
    const constants = {dim: values.dim};
    return programs.run(unseenShader, {constants, inputs: {}, uniforms: {}, work}, shape);
  }
  const keys = prepareKeys(inputs, attributes, tokens);
  const group = heads / kvHeads;
  const rows = group * queryTokens;
  const keyConstants = {
    ...keys.constants,
    ...(programs.features.includes('shader-f16') && {halves: true as const}),
  };
  const tiles = tilesFor(keyConstants, values.dim, rows);
  const rowTiles = Math.ceil(rows / tiles.rows);
  const oldest = oldestVisible(attributes) ?? noOldest;
  const first = Math.floor(firstVisible(attributes, tokens) / tiles.tokens) * tiles.tokens;
  const splits = splitsFor(tokens - first, tiles.tokens, rowTiles * batch * kvHeads);
  const partials = programs.run(
    attendShader,
    {
      constants: {
        ...keyConstants,
        ...{values, tiles},
        ...(softCap !== undefined && {capped: true as const}),
        ...(programs.features.includes('subgroups') && {subgroups: true as const}),
      },
      inputs: {...keys.inputs, valueData: inputs.valueData, valueParams: inputs.valueParams},
      uniforms: {
        ...keys.uniforms,
        ...{tokens, firstQuery, oldest, first, queryTokens, group, splitTokens: splits.tokens},
        ...{scale, softCap: softCap ?? 0},
        ...{valueRows: inputs.valueData.shape[2], valueParamRows: inputs.valueParams?.shape[2] ?? 0},
        resultRows: batch * heads * queryTokens,
      },
      work: [splits.count, rowTiles, batch * kvHeads],
    },
    splits.count === 1 ? shape : [splits.count, ...shape],
  );
  keys.dispose();
  if (splits.count === 1) return partials;
  const joined = joinSplits(partials, shape);
  programs.dispose(partials);
  return joined;
}

/** Enough workgroups to occupy a large GPU; more splits only cost the pass that joins them. */
const enoughWorkgroups = 256;
const mostSplits = 64;
/** A split of fewer tiles costs more to join than it saves. */
const leastTiles = 4;

function splitsFor(tokens: number, tileTokens: number, workgroups: number): {count: number; tokens: number} {
  const wanted = Math.min(mostSplits, Math.ceil(enoughWorkgroups / workgroups));
  const tilesOfSplit = Math.max(leastTiles, Math.ceil(tokens / tileTokens / wanted));
  const splitTokens = tilesOfSplit * tileTokens;
  return {count: Math.max(1, Math.ceil(tokens / splitTokens)), tokens: splitTokens};
}

export interface AttendConstants extends KeyConstants {
  readonly values: TokenLayout;
  readonly tiles: Tiles;
  /** Whether scaled scores are capped. */
  readonly capped?: true;
  /** Whether maxima and sums of scores are collective operations of subgroups. */
  readonly subgroups?: true;
}

const attendUniforms = {
  ...keyUniforms,
  ...integers('tokens', 'firstQuery', 'oldest', 'first', 'queryTokens', 'group', 'splitTokens'),
  ...integers('valueRows', 'valueParamRows', 'resultRows'),
  scale: 'f32' as const,
  softCap: 'f32' as const,
};

/**
 * Workgroup (x, y, z): split x of the tokens, tile y of the rows, key head z of all batches. Row r is query r / group of the
 * group's head r % group, so that the rows of a tile see nearly the same tokens. A hidden score is -3e38, since shaders may
 * be compiled as if there were no infinities.
 */
export const attendShader: Shader<AttendConstants, keyof typeof attendUniforms> = {
  name: 'Attend',
  uniforms: attendUniforms,
  code: constants => {
    const {values, tiles, capped, subgroups, halves} = constants;
    const dim = keyDim(constants);
    const stride = dim | 1; // odd: tokens of a tile lie in different banks of workgroup memory
    const scores = tiles.rows * tiles.tokens;
    const {columnLanes, rowLanes, columns, rows} = accumulatorsOf(values.dim, tiles.rows);
    const valueNames = {data: 'valueData', params: 'valueParams'};
    const valueRows = {dataRows: 'uniforms.valueRows', paramRows: 'uniforms.valueParamRows'};
    const valueTile = {array: 'tile', stride: values.dim, number: tileNumber(halves)};
    const softmax = softmaxText(tiles, subgroups);
    const read = (at: string): string => (halves ? `f32(tile[${at}])` : `tile[${at}]`);
    return `${halves ? halvesText : ''}
    const hidden = -3.0e38;
    var<workgroup> tile : array<${halves ? 'f16' : 'f32'}, ${tiles.tokens * Math.max(stride, values.dim)}>;
    var<workgroup> query : array<f32, ${tiles.rows * dim}>;
    var<workgroup> scores : array<f32, ${scores}>;
    var<workgroup> rowMax : array<f32, ${tiles.rows}>;
    var<workgroup> rowSum : array<f32, ${tiles.rows}>;
    var<workgroup> rescale : array<f32, ${tiles.rows}>;
    var<workgroup> span : vec2<i32>;
    ${decodeText(constants, values)}
    ${capText(capped)}
    ${loadKeysText(constants, tiles.tokens, stride)}
    ${loadFunction('loadValues', values, {...valueNames, ...valueRows}, valueTile)}${softmax.declared}

    // By its bits, and carried past exp and caps, which make numbers of it on some devices.
    fn isNaN(number : f32) -> bool {
      return (bitcast<u32>(number) & 0x7fffffffu) > 0x7f800000u;
    }

    // where a row of this key head's queries lies among all rows of queries
    fn rowIndex(head : i32, row : i32) -> i32 {
      return (head * uniforms.group + row % uniforms.group) * uniforms.queryTokens + row / uniforms.group;
    }

    fn main() {
      let local = i32(localIndex);
      let head = i32(workgroupId.z);
      let firstRow = i32(workgroupId.y) * ${tiles.rows};
      let rows = uniforms.group * uniforms.queryTokens;
      if (local == 0) {
        let lastQuery = (min(firstRow + ${tiles.rows}, rows) - 1) / uniforms.group;
        let seen = clamp(uniforms.firstQuery + lastQuery + 1, 0, uniforms.tokens);
        let begin = uniforms.first + i32(workgroupId.x) * uniforms.splitTokens;
        // whole tiles that are too old for the first query are so for all of these
        let unseen = max(uniforms.oldest + firstRow / uniforms.group - begin, 0) / ${tiles.tokens} * ${tiles.tokens};
        span = vec2<i32>(begin + unseen, min(begin + uniforms.splitTokens, seen));
      }
      for (var i = local; i < ${tiles.rows * dim}; i += ${workgroupSize}) {
        let row = firstRow + i / ${dim};
        if (row < rows) { query[i] = f32(queries[rowIndex(head, row) * ${dim} + i % ${dim}]); }
      }
      if (local < ${tiles.rows}) {
        rowMax[local] = hidden;
        rowSum[local] = 0.0;
      }
      ${
        softmax.begin &&
        `${softmax.begin}
      `
      }let columnLane = local % ${columnLanes};
      let rowLane = local / ${columnLanes};
      var sums : array<f32, ${rows * columns}>;
      let bounds = workgroupUniformLoad(&span);
      for (var start = bounds.x; start < bounds.y; start += ${tiles.tokens}) {
        let count = min(${tiles.tokens}, bounds.y - start);
        loadKeys(head, start, count);
        workgroupBarrier();
        for (var i = local; i < ${scores}; i += ${workgroupSize}) {
          let token = i % ${tiles.tokens};
          let row = firstRow + i / ${tiles.tokens};
          var score = hidden;
          let query0 = start + token - row / uniforms.group;
          if (token < count && row < rows && query0 <= uniforms.firstQuery && query0 >= uniforms.oldest) {
            let q = (i / ${tiles.tokens}) * ${dim};
            var sum = 0.0;
            for (var d = 0; d < ${dim}; d++) { sum += query[q + d] * ${read(`token * ${stride} + d`)}; }
            score = select(capped(sum * uniforms.scale)${biasText(constants, 'start + token')}, sum, isNaN(sum));
          }
          scores[i] = score;
        }
        workgroupBarrier();
        loadValues(head, start, count);
        ${softmax.weigh}
        workgroupBarrier();
        ${softmax.sum}for (var r = 0; r < ${rows}; r++) {
          let factor = rescale[min(rowLane + r * ${rowLanes}, ${tiles.rows - 1})];
          for (var c = 0; c < ${columns}; c++) { sums[r * ${columns} + c] *= factor; }
        }
        for (var t = 0; t < count; t++) {
          for (var c = 0; c < ${columns}; c++) {
            let value = ${read(`t * ${values.dim} + min(columnLane + c * ${columnLanes}, ${values.dim - 1})`)};
            for (var r = 0; r < ${rows}; r++) {
              let row = min(rowLane + r * ${rowLanes}, ${tiles.rows - 1});
              sums[r * ${columns} + c] += scores[row * ${tiles.tokens} + t] * value;
            }
          }
        }
        workgroupBarrier();
      }
      for (var r = 0; r < ${rows}; r++) {
        let row = rowLane + r * ${rowLanes};
        if (row >= ${tiles.rows} || firstRow + row >= rows) { continue; }
        let at = (i32(workgroupId.x) * uniforms.resultRows + rowIndex(head, firstRow + row)) * ${values.dim + 2};
        for (var c = 0; c < ${columns}; c++) {
          let column = columnLane + c * ${columnLanes};
          if (column < ${values.dim}) { result[at + column] = sums[r * ${columns} + c]; }
        }
        if (columnLane == 0) {
          result[at + ${values.dim}] = select(rowMax[row], -uniforms.INFINITY, rowSum[row] == 0.0);
          result[at + ${values.dim + 1}] = rowSum[row];
        }
      }
    }`;
  },
};

/** How the sums of a tile's rows lie in the invocations' registers: lanes of columns times lanes of rows are a workgroup. */
function accumulatorsOf(dim: number, tileRows: number) {
  let columnLanes = 1;
  while (columnLanes < Math.min(dim, workgroupSize)) columnLanes *= 2;
  const rowLanes = workgroupSize / columnLanes;
  return {
    ...{columnLanes, rowLanes},
    ...{columns: Math.ceil(dim / columnLanes), rows: Math.ceil(tileRows / rowLanes)},
  };
}

/** The partial of no tokens: [0, -Infinity, 0]. */
export const unseenShader: Shader<{dim: number}, never> = {
  name: 'AttendNothing',
  uniforms: {},
  code: ({dim}) => `
    fn main(index : i32) {
      if (index >= uniforms.size) { return; }
      result[index] = select(0.0, -uniforms.INFINITY, index % ${dim + 2} == ${dim});
    }`,
};
