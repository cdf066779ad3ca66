import {appendShader} from '../../../ops/append/webgpu.js';
import {attendShader, unseenShader} from '../../../ops/attention/attend/webgpu.js';
import {packShader} from '../../../ops/attention/attend/webgpu_keys.js';
import {tilesFor} from '../../../ops/attention/attend/webgpu_tiles.js';
import {attentionStatisticsShader} from '../../../ops/attention/statistics/webgpu.js';
import {decodeShader} from '../../../ops/encodings/decode.js';
import {copyShader} from '../../../ops/backends/webgpu_heads.js';
import {float8CodesShader, float8ScalesShader} from '../../../ops/float8/webgpu.js';
import {gatherCodesShader, gatherScalesShader} from '../../../ops/gather_tiled/webgpu.js';
import {gatherColumnsShader, gatherRowsShader} from '../../../ops/gather_tokens/webgpu.js';
import {hadamardShader} from '../../../ops/hadamard/webgpu.js';
import {finerStepsShader, groupParametersShader, packCodesShader} from '../../../ops/integer/webgpu.js';
import {
  lloydMaxCodesShader,
  lloydMaxExponentsShader,
  lloydMaxScalesShader,
} from '../../../ops/lloyd_max/webgpu.js';
import {expandPartialShader, projectShader} from '../../../ops/low_rank/webgpu.js';
import {solveRowsShader} from '../../../ops/low_rank/webgpu_coefficients.js';
import {joinShader} from '../../../ops/attention/merge_partials/webgpu.js';
import {eighJacobiShader, eighPackShader} from '../../../ops/linalg/eigh/webgpu.js';
import {qrPackShader, qrReflectShader} from '../../../ops/linalg/qr/webgpu.js';
import {svdJacobiShader, svdPackShader} from '../../../ops/linalg/svd/webgpu.js';
import {rmsNormShader} from '../../../ops/rms_norm/webgpu.js';
import {rotateShader} from '../../../ops/rotate/webgpu.js';
import {lmHeadShader} from '../../../ops/lm_head/webgpu.js';
import {embedShader} from '../../../ops/embed/webgpu.js';
import {fewRowsShader, manyRowsShader} from '../../../ops/linear/webgpu_shaders.js';
import {unpackShader} from '../../../ops/unpack/webgpu.js';

const dense = {kind: 'dense', dim: 64} as const;
const int4 = {kind: 'integer', dim: 64, bits: 4, groupAxis: 'channel', groupSize: 32} as const;
const int8 = {kind: 'integer', dim: 64, bits: 8, groupAxis: 'token', groupSize: 32} as const;
const e4m3 = {kind: 'float8', dim: 64, format: 'e4m3'} as const;
const fewBits = {
  kind: 'lloydMax',
  dim: 32,
  widths: [
    [8, 4, 2, 1],
    [6, 5, 3, 0],
  ],
} as const;
const rebuilt = {dim: 64, pairs: 32, interleaved: false, mean: true, positions: true} as const;
const latents = {keys: {kind: 'dense', dim: 16}, rebuilt} as const;
const product = {
  inputsByFours: true,
  matrixByFours: true,
  bias: false,
  residual: false,
  gate: false,
} as const;

/** The text of each shader, with constants of a model's everyday: attention in the encoding of each codec, heads of 64. */
export const shaderTexts: Readonly<Record<string, string>> = {
  append_rows: appendShader.code({type: 'i32'}),
  attend_dense_prefill: attendShader.code({
    keys: dense,
    values: dense,
    tiles: tilesFor({keys: dense}, 64, 1024),
  }),
  attend_dense_decode: attendShader.code({keys: dense, values: dense, tiles: tilesFor({keys: dense}, 64, 3)}),
  attend_int4_int8: attendShader.code({keys: int4, values: int8, tiles: tilesFor({keys: int4}, 64, 3)}),
  attend_float8: attendShader.code({keys: e4m3, values: e4m3, tiles: tilesFor({keys: e4m3}, 64, 3)}),
  attend_lloyd_max: attendShader.code({
    keys: fewBits,
    values: fewBits,
    tiles: tilesFor({keys: fewBits}, 32, 3),
  }),
  attend_rebuilt: attendShader.code({...latents, values: int8, tiles: tilesFor(latents, 64, 3)}),
  attend_biased: attendShader.code({
    ...{keys: dense, values: dense, biased: true},
    tiles: tilesFor({keys: dense}, 64, 3),
  }),
  attend_capped: attendShader.code({
    ...{keys: dense, values: dense, capped: true},
    tiles: tilesFor({keys: dense}, 64, 3),
  }),
  attend_subgroups: attendShader.code({
    ...{keys: dense, values: dense, subgroups: true},
    tiles: tilesFor({keys: dense}, 64, 3),
  }),
  attend_halves: attendShader.code({
    ...{...latents, values: int8, halves: true},
    tiles: tilesFor({...latents, halves: true}, 64, 3),
  }),
  attend_nothing: unseenShader.code({dim: 64}),
  pack_keys: packShader.code({mean: true}),
  attention_mass: attentionStatisticsShader.code({
    ...{keys: dense, statistic: 'mass'},
    tiles: tilesFor({keys: dense}, 0, 3),
  }),
  attention_uses: attentionStatisticsShader.code({
    ...{keys: int8, statistic: 'uses'},
    tiles: tilesFor({keys: int8}, 0, 3),
  }),
  attention_mass_biased: attentionStatisticsShader.code({
    ...{keys: dense, statistic: 'mass', biased: true},
    tiles: tilesFor({keys: dense}, 0, 3),
  }),
  attention_mass_capped: attentionStatisticsShader.code({
    ...{keys: dense, statistic: 'mass', capped: true},
    tiles: tilesFor({keys: dense}, 0, 3),
  }),
  copy_numbers: copyShader.code({type: 'i32'}),
  decode_dense: decodeShader.code(dense),
  decode_lloyd_max: decodeShader.code(fewBits),
  decode_float8: decodeShader.code({kind: 'float8', dim: 64, format: 'e5m2'}),
  dequantize: decodeShader.code({
    ...{kind: 'integer', dim: 64, bits: 2, groupAxis: 'channel', groupSize: 32},
  }),
  dequantize_planes: decodeShader.code({
    ...{kind: 'integer', dim: 64, bits: 3, groupAxis: 'token', groupSize: 32},
  }),
  expand_partial: expandPartialShader.code({basis: true, mean: true, shift: true}),
  float8_codes: float8CodesShader.code({format: 'e4m3'}),
  float8_scales: float8ScalesShader.code({format: 'e4m3'}),
  gather_codes: gatherCodesShader.code({}),
  gather_columns: gatherColumnsShader.code({type: 'i32'}),
  gather_rows: gatherRowsShader.code({type: 'i32'}),
  gather_scales: gatherScalesShader.code({kvHeads: 2}),
  finer_steps: finerStepsShader.code({}),
  group_parameters: groupParametersShader.code({
    bits: 4,
    groupAxis: 'token',
    groupSize: 32,
    symmetric: false,
  }),
  hadamard: hadamardShader.code({}),
  eigh_jacobi: eighJacobiShader.code({}),
  eigh_pack: eighPackShader.code({}),
  svd_jacobi: svdJacobiShader.code({}),
  svd_pack: svdPackShader.code({}),
  qr_reflect: qrReflectShader.code({}),
  qr_pack: qrPackShader.code({}),
  project: projectShader.code({byFours: true}),
  solve_rows: solveRowsShader.code({}),
  join_splits: joinShader.code({dim: 64, joined: 'partial', inputs: 0}),
  log_sum: joinShader.code({dim: 64, joined: 'logSum', inputs: 2}),
  merge_partials: joinShader.code({dim: 64, joined: 'output', inputs: 2}),
  pack_codes: packCodesShader.code({bits: 4, groupAxis: 'channel', groupSize: 32}),
  pack_planes: packCodesShader.code({bits: 5, groupAxis: 'token', groupSize: 32}),
  rms_norm: rmsNormShader.code({}),
  rotate: rotateShader.code({interleaved: false}),
  lloyd_max_codes: lloydMaxCodesShader.code(fewBits),
  lloyd_max_exponents: lloydMaxExponentsShader.code(fewBits),
  lloyd_max_scales: lloydMaxScalesShader.code({kvHeads: 2}),
  lm_head: lmHeadShader.code({}),
  linear_few_rows: fewRowsShader.code({...product, format: 'packed4', rows: 4}),
  linear_many_rows: manyRowsShader.code({...product, format: 'float16', rows: 64, bias: true}),
  linear_one_row: fewRowsShader.code({...product, format: 'packed8By16', rows: 1, residual: true}),
  linear_float32: fewRowsShader.code({...product, format: 'float32', rows: 1}),
  linear_odd_float32: manyRowsShader.code({
    ...{...product, format: 'float32', rows: 32, inputsByFours: false, matrixByFours: false},
  }),
  linear_gated: fewRowsShader.code({...product, format: 'packed8', rows: 1, bias: true, gate: true}),
  embed: embedShader.code({format: 'packed8'}),
  embed_float32: embedShader.code({format: 'float32'}),
  unpack: unpackShader.code({format: 'packed8Min'}),
  unpack_bfloat16: unpackShader.code({format: 'bfloat16'}),
};
