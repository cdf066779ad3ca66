import type {SideTransform, TransformProfile} from '../../../cache/codecs/transform_profile/index.js';
import {attentionFingerprint} from '../../../models/index.js';
import type {GoldenArray} from '../../support/golden.js';
import type {tinyModel} from '../architectures/tiny_models.js';

interface GoldenSide {
  readonly mean?: GoldenArray;
  readonly rotatedMean?: GoldenArray;
  readonly analysis: GoldenArray;
  readonly synthesis: GoldenArray;
  readonly weights: GoldenArray;
}

/** By depth: a profile as test/golden/transform/models_golden.py writes it. */
export type GoldenProfile = readonly {readonly keys: GoldenSide; readonly values: GoldenSide}[];

/** A golden profile of a model. */
export async function profileOf(
  golden: GoldenProfile,
  {model, config}: Awaited<ReturnType<typeof tinyModel>>,
): Promise<TransformProfile> {
  return {
    ...{tokens: 64, gradientTokens: 64, texts: ['random']},
    fingerprint: await attentionFingerprint(model),
    ...(config.rope && {rope: config.rope}),
    depths: golden.map(({keys, values}) => ({keys: sideOf(keys), values: sideOf(values)})),
  };
}

function sideOf({mean, rotatedMean, analysis, synthesis, weights}: GoldenSide): SideTransform {
  const [kvHeads, dim] = weights.shape as [number, number];
  return {
    ...{kvHeads, dim},
    mean: mean === undefined ? new Float32Array(kvHeads * dim) : Float32Array.from(mean.data),
    ...(rotatedMean && {rotatedMean: Float32Array.from(rotatedMean.data)}),
    analysis: Float32Array.from(analysis.data),
    synthesis: Float32Array.from(synthesis.data),
    weights: Float64Array.from(weights.data),
    tokenScales: {mean: new Float64Array(kvHeads), deviation: new Float64Array(kvHeads)},
  };
}
