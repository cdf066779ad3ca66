import type {PolicyLike} from '../../cache/policies/as_policy.js';
import {asPlan} from '../../cache/plans/as_plan.js';
import type * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {checkOptions, positiveNumber, probability, specOf, type Spec} from '../../base/options.js';
import {type Plan} from '../../cache/plans/plan.js';
import type {RopeMode} from '../../layers/index.js';
import {InvalidArgumentError} from '../../base/errors.js';
import {allotRanks} from './allot_ranks.js';
import {type BasisMethod, basisMethods} from './bases.js';
import type {Calibration} from './calibration.js';
import {type ModelCompression, eigenArgs} from './compression.js';
import {type CompressionRow, compressionRows} from './compression_rows.js';
import {FeatureSample} from './feature_sample.js';
import {mergeWeights} from './merge_weights.js';
import {type Prepared, prepare} from './prepare.js';
import {type Replacement, replaceLayers} from './replace_layers.js';
import type {DistanceWeights} from './rotated_metric.js';
import type {SensitivityOptions} from './sensitivity.js';

export interface CompressOptions extends SensitivityOptions {
  /** How directions are chosen, for keys and values. Default 'kqSvd'. */
  readonly method?: BasisMethod;
  /** Another method for one side. Default: `method`. */
  readonly keyMethod?: BasisMethod;
  readonly valueMethod?: BasisMethod;
  /** The share of the cache's numbers that is kept, above 0, at most 1. Default 0.5. */
  readonly ratio?: number;
  /** Ranks instead, one for all depths or one for each. */
  readonly ranks?: {readonly keys: number | readonly number[]; readonly values: number | readonly number[]};
  /** Ranks by Eigen Attention's loop instead: the relative error of attention's output that a depth may have; needs `sample`. */
  readonly errorBudget?: number;
  /** How a `ratio` is spread: where it costs least, or alike. Default 'waterFilled'. */
  readonly spread?: 'waterFilled' | 'uniform';
  /**
   * Ids of a text, some hundred, on which errors are measured and, where the model takes a cache, what each depth's error
   * costs. Without, water-filling takes equal relative errors to cost the same everywhere.
   */
  readonly sample?: readonly number[];
  /** With rotary positions: see `EigenAttention`. Default 'before'. */
  readonly ropeMode?: RopeMode;
  /** See `rotatedMetric`. Default 'falling'. */
  readonly distances?: DistanceWeights;
  /** Take the features' means off. Default false. */
  readonly center?: boolean;
  /** See `orderedBasis`. Default 1e-3. */
  readonly ridge?: number;
  /** What the layers ask for in a cache without a plan: integer codes of their latents, for one. Default: nothing. */
  readonly plan?: Plan | PolicyLike;
}

export interface CompressedModel {
  /** With `EigenAttention` in place of every attention layer; saved and loaded as any tfjs model. */
  readonly model: tf.LayersModel;
  /** What `ModelConfig.compression` is, to save it with `saveModel`. */
  readonly compression: ModelCompression;
  readonly rows: readonly CompressionRow[];
  /** Numbers stored of a token, and what its dense heads have. */
  readonly storedNumbers: number;
  readonly denseNumbers: number;
  /** What is to be said of the result. */
  readonly warnings: readonly string[];
}

const method = v.picklist(basisMethods, `expected one of ${basisMethods.join(', ')}`);
const schema = v.strictObject({
  method: v.optional(method, 'kqSvd'),
  keyMethod: v.optional(method),
  valueMethod: v.optional(method),
  ratio: v.optional(probability),
  errorBudget: v.optional(positiveNumber),
  spread: v.optional(
    v.picklist(['waterFilled', 'uniform'], 'expected "waterFilled" or "uniform"'),
    'waterFilled',
  ),
  ropeMode: v.optional(v.picklist(['before', 'after'], 'expected "before" or "after"'), 'before'),
  distances: v.optional(v.picklist(['uniform', 'falling'], 'expected "uniform" or "falling"'), 'falling'),
  center: v.optional(v.boolean('expected true or false'), false),
  ridge: v.optional(positiveNumber, 1e-3),
});

/**
 * A model whose attention runs, and caches, in latents: bases are found from a calibration, ranks allotted to depths and
 * sides, and both merged into the weights. The model that was given stays as it is; weights of other layers are shared.
 *
 * @throws InvalidArgumentError where options do not fit, the calibration saw fewer tokens than a rank needs, or there is an
 *   attention layer that no adapter knows; ModelError where the calibration is of another model.
 */
export async function compressModel(
  model: tf.LayersModel,
  calibration: Calibration,
  {ranks, sample, plan, onProgress, signal, ...rest}: CompressOptions = {},
): Promise<CompressedModel> {
  const options = checkOptions('compressModel', schema, rest);
  checkWays({ratio: options.ratio, ranks, errorBudget: options.errorBudget});
  const prepared = await prepare(model, calibration, {
    ...options,
    keyMethod: options.keyMethod ?? options.method,
    valueMethod: options.valueMethod ?? options.method,
  });
  const {attentions, dim} = prepared;
  const features = sample && (await FeatureSample.of(model, attentions, sample));
  try {
    const allotted = await allotRanks(prepared, {
      ...options,
      ranks,
      sample,
      features,
      onProgress,
      signal,
    });
    const compression: ModelCompression = {
      ropeMode: options.ropeMode,
      keyRanks: allotted.keys,
      valueRanks: allotted.values,
      centered: options.center,
      ...(plan && {cachePolicies: policiesOf(plan, attentions.length)}),
    };
    const warnings = checkTokens(calibration.tokens, dim, Math.max(...allotted.keys, ...allotted.values));
    const rows = await compressionRows(prepared, allotted, features);
    return {
      model: replaceLayers(model, replacements(prepared, compression)),
      compression,
      rows,
      storedNumbers: numbersOf(prepared, ({keyRank, valueRank}) => keyRank + valueRank, rows),
      denseNumbers: numbersOf(prepared, () => 2 * dim, rows),
      warnings,
    };
  } finally {
    features?.dispose();
  }
}

function checkWays(ways: Readonly<Record<string, unknown>>): void {
  const named = Object.entries(ways).flatMap(([name, value]) => (value === undefined ? [] : [name]));
  if (named.length > 1) {
    throw new InvalidArgumentError(`compressModel got ${named.join(' and ')}; give one of them.`);
  }
}

/** What to say of a calibration on few tokens. */
function checkTokens(tokens: number, dim: number, rank: number): string[] {
  if (tokens < rank) {
    throw new InvalidArgumentError(
      `The calibration saw ${tokens} tokens, and a rank of ${rank} needs as many at least; calibrate on more, or ask for less.`,
    );
  }
  if (tokens >= 16 * dim) return [];
  return [
    `The calibration saw ${tokens} tokens for heads of ${dim} numbers${tokens < dim ? ', so that directions beyond them are arbitrary' : ''}; ` +
      `${16 * dim} or more show what texts have in common.`,
  ];
}

function policiesOf(plan: Plan | PolicyLike, depths: number): Spec[] {
  return Array.from({length: depths}, (_, depth) => specOf(asPlan(plan).policyFor(depth, depths)));
}

/** Numbers of a token, all depths and heads. */
function numbersOf(
  {attentions}: Prepared,
  ofRow: (row: CompressionRow) => number,
  rows: readonly CompressionRow[],
): number {
  return rows.reduce((sum, row) => sum + attentions[row.depth]!.kvHeads * ofRow(row), 0);
}

function replacements({attentions, weights, bases}: Prepared, compression: ModelCompression): Replacement[] {
  return attentions.map((attention, depth) => {
    const {layer, heads, kvHeads, headDim, rope} = attention;
    const args = eigenArgs(attention, compression, depth);
    const merged = mergeWeights(attention, weights[depth]!, bases[depth]!, args);
    return {
      name: layer.name,
      args: {
        numHeads: heads,
        numKvHeads: kvHeads,
        headDim,
        depth,
        rope,
        useBias: merged['query_bias'] !== undefined,
        useOutputBias: merged['output_bias'] !== undefined,
        ...args,
      },
      weights: merged,
    };
  });
}
