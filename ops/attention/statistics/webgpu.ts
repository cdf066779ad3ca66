import type * as tf from '@tensorflow/tfjs';
import {noOldest, oldestVisible} from '../attend/visibility.js';
import {
  biasText,
  capText,
  decodeText,
  everyToken,
  keyUniforms,
  loadKeysText,
  keyDim,
  prepareKeys,
  type KeyConstants,
} from '../attend/webgpu_keys.js';
import {tilesFor, type Tiles} from '../attend/webgpu_tiles.js';
import {byHeads} from '../../backends/webgpu_heads.js';
import {integers, webgpuPrograms, workgroupSize, type Shader} from '../../backends/webgpu_programs.js';
import {kvHeadsOf} from '../../encodings/token_kinds.js';
import type {KernelInputs} from '../../run_op.js';
import type {AttentionStatistic, AttentionStatisticsAttributes, AttentionStatisticsInputs} from './types.js';

/** `attentionStatistics` fused on the GPU: every stored key is read once, and no matrix of queries x tokens is made. */
export const attentionStatisticsWebgpu = byHeads(statisticsOfHeads, 'keyData');

function statisticsOfHeads(
  inputs: KernelInputs<AttentionStatisticsInputs>,
  attributes: AttentionStatisticsAttributes,
): tf.TensorInfo {
  const programs = webgpuPrograms()!;
  const {tokens, scale, softCap, firstQuery = everyToken, statistic, threshold} = attributes;
  const [batch, heads, queryTokens] = inputs.queries.shape;
  const kvHeads = kvHeadsOf(attributes.keys, inputs.keyData);
  const group = heads / kvHeads;
  const keys = prepareKeys(inputs, attributes, tokens);
  const tiles = tilesFor(keys.constants, 0, group * queryTokens);
  const result = programs.run(
    attentionStatisticsShader,
    {
      constants: {...keys.constants, tiles, statistic, ...(softCap !== undefined && {capped: true as const})},
      inputs: {...keys.inputs, logSum: inputs.logSum},
      uniforms: {
        ...keys.uniforms,
        ...{tokens, firstQuery, oldest: oldestVisible(attributes) ?? noOldest, queryTokens, group},
        ...{scale, softCap: softCap ?? 0, threshold},
      },
      work: [Math.ceil(tokens / tiles.tokens), batch * kvHeads, 1],
    },
    [batch, kvHeads, tokens],
  );
  keys.dispose();
  return result;
}

interface StatisticsConstants extends KeyConstants {
  readonly tiles: Tiles;
  readonly statistic: AttentionStatistic;
  /** Whether scaled scores are capped. */
  readonly capped?: true;
}

const statisticsUniforms = {
  ...keyUniforms,
  ...integers('tokens', 'firstQuery', 'oldest', 'queryTokens', 'group'),
  scale: 'f32' as const,
  softCap: 'f32' as const,
  threshold: 'f32' as const,
};

/**
 * Workgroup (x, y): tile x of the tokens of key head y. Rows go by query first, then by head of the group, as in `attend`: so
 * an invocation that adds up one token takes a query's heads one after another, and counts the query once.
 */
export const attentionStatisticsShader: Shader<StatisticsConstants, keyof typeof statisticsUniforms> = {
  name: 'AttentionStatistics',
  uniforms: statisticsUniforms,
  code: constants => {
    const {tiles, statistic, capped} = constants;
    const dim = keyDim(constants);
    const stride = dim | 1; // odd: tokens of a tile lie in different banks of workgroup memory
    const cells = tiles.rows * tiles.tokens;
    const add = {
      mass: 'total += p;',
      uses: 'if (p >= uniforms.threshold && query > counted) { total += 1.0; counted = query; }',
      lastUse: 'if (p >= uniforms.threshold) { total = f32(query); }',
    };
    return `
    var<workgroup> tile : array<f32, ${tiles.tokens * stride}>;
    var<workgroup> queryTile : array<f32, ${tiles.rows * dim}>;
    var<workgroup> probabilities : array<f32, ${cells}>;
    var<workgroup> span : vec4<i32>;
    ${decodeText(constants)}
    ${capText(capped)}
    ${loadKeysText(constants, tiles.tokens, stride)}

    fn rowIndex(head : i32, row : i32) -> i32 {
      return (head * uniforms.group + row % uniforms.group) * uniforms.queryTokens + row / uniforms.group;
    }

    fn main() {
      let local = i32(localIndex);
      let head = i32(workgroupId.y);
      if (local == 0) {
        let begin = i32(workgroupId.x) * ${tiles.tokens};
        // queries before the first token's own see none of the tile
        let firstRow = clamp(begin - uniforms.firstQuery, 0, uniforms.queryTokens) * uniforms.group;
        let count = min(${tiles.tokens}, uniforms.tokens - begin);
        // nor do queries whose window begins behind it
        let lastRow = clamp(begin + count - uniforms.oldest, 0, uniforms.queryTokens) * uniforms.group;
        span = vec4<i32>(begin, count, firstRow, lastRow);
      }
      let bounds = workgroupUniformLoad(&span);
      let start = bounds.x;
      let count = bounds.y;
      let rows = bounds.w;
      loadKeys(head, start, count);
      var total = ${statistic === 'lastUse' ? '-1.0' : '0.0'};
      var counted = -1;
      for (var firstRow = bounds.z; firstRow < rows; firstRow += ${tiles.rows}) {
        for (var i = local; i < ${tiles.rows * dim}; i += ${workgroupSize}) {
          let row = firstRow + i / ${dim};
          if (row < rows) { queryTile[i] = f32(queries[rowIndex(head, row) * ${dim} + i % ${dim}]); }
        }
        workgroupBarrier();
        for (var i = local; i < ${cells}; i += ${workgroupSize}) {
          let token = i % ${tiles.tokens};
          let row = firstRow + i / ${tiles.tokens};
          var p = -1.0;
          let query0 = start + token - row / uniforms.group;
          if (token < count && row < rows && query0 <= uniforms.firstQuery && query0 >= uniforms.oldest) {
            let logSumOfRow = f32(logSum[rowIndex(head, row)]);
            if (logSumOfRow > -3.0e38) {
              let q = (i / ${tiles.tokens}) * ${dim};
              var sum = 0.0;
              for (var d = 0; d < ${dim}; d++) { sum += queryTile[q + d] * tile[token * ${stride} + d]; }
              p = exp(min(capped(sum * uniforms.scale)${biasText(constants, 'start + token')} - logSumOfRow, 0.0));
            }
          }
          probabilities[i] = p;
        }
        workgroupBarrier();
        if (local < count) {
          for (var r = 0; r < min(${tiles.rows}, rows - firstRow); r++) {
            let p = probabilities[r * ${tiles.tokens} + local];
            let query = (firstRow + r) / uniforms.group;
            if (p < 0.0) { continue; }
            ${add[statistic]}
          }
        }
        workgroupBarrier();
      }
      if (local < count) { result[head * uniforms.tokens + start + local] = total; }
    }`;
  },
};
