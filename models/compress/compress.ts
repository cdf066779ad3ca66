import type * as tf from '@tensorflow/tfjs';
import * as v from 'valibot';
import {InvalidArgumentError} from '../../base/errors.js';
import {atLeast, checkOptions, positiveNumber, probability, specOf} from '../../base/options.js';
import type {LayerShape} from '../../cache/binding/layer_shape.js';
import {type PlanLike, asPlan} from '../../cache/plans/as_plan.js';
import type {RopeMode} from '../../layers/index.js';
import {eigenArgs, keyModeAt} from '../architectures/parts/attention.js';
import type {ModelCompression} from '../architectures/parts/compression.js';
import type {LoadedModel} from '../loaded_model.js';
import {type ModelLike, type TextLike, contextLengthOf, idsOf, modelOf} from '../model_like.js';
import {type ProgressOptions, progressEntries} from '../progress.js';
import {type BasisMethod, basisMethods} from './bases.js';
import type {Calibration} from './calibrate.js';
import {type Replacement, copyModel} from './copy_model.js';
import {FeatureSample, type MeasuredErrors} from './feature_sample.js';
import {mergeWeights} from './merge_weights.js';
import {type Prepared, prepare} from './prepare.js';
import {scoringOfCompressed} from './dense_attention.js';
import {errorCurves} from './error_curves.js';
import {type GivenRanks, type Ranks, allotRanks} from './ranks.js';
import type {DistanceWeights} from './rotated_metric.js';

export interface CompressOptions extends ProgressOptions {
  /** How directions are chosen for keys and values: see `BasisMethod`. Default 'kqSvd'. */
  readonly method?: BasisMethod;
  /** How directions are chosen for keys. Default: `method`. */
  readonly keyMethod?: BasisMethod;
  /** How directions are chosen for values. Default: `method`. */
  readonly valueMethod?: BasisMethod;
  /** The share of the cache's numbers that is kept, above 0, at most 1. Default 0.5. */
  readonly ratio?: number;
  /** Instead of a ratio: numbers stored per key and value of a head, one rank for all depths or one per depth. */
  readonly ranks?: GivenRanks;
  /** Instead of a ratio: the largest relative error of a depth's attention output, above 0, by Eigen Attention's loop. Needs `text`. */
  readonly errorBudget?: number;
  /** How a ratio is spread over depths and sides: where it costs least, or equally. Default 'waterFilled'. */
  readonly spread?: 'waterFilled' | 'uniform';
  /**
   * A text, or its ids, on which errors are measured, and, if the layers take a cache, what an error at each depth costs. Default:
   * none; water-filling then assumes that equal relative errors cost the same everywhere, unless the calibration has gradients.
   */
  readonly text?: TextLike;
  /** At most this many tokens of `text`, its first ones; never more than the model's context. Default 256. */
  readonly tokens?: number;
  /** With rotary positions, whether keys are compressed before or after their rotation: see `EigenAttention`. Default 'before'. */
  readonly ropeMode?: RopeMode;
  /** With rotary positions, how far attention is assumed to look back: see `rotatedMetric`. Default 'falling'. */
  readonly distances?: DistanceWeights;
  /** Subtract the means of keys and values before directions are chosen. Default false. */
  readonly center?: boolean;
  /** Added to the eigenvalues of a metric before it is inverted, as a share of their mean, above 0. Default 1e-3. */
  readonly ridge?: number;
  /** What the layers ask for in a cache without a plan, integer codes of their latents for one. Default: `full`. */
  readonly plan?: PlanLike;
}

/** What was done to one depth. Errors are relative: ||X - X'|| / ||X||, Frobenius. */
export interface CompressionRow {
  readonly depth: number;
  readonly keyRank: number;
  readonly valueRank: number;
  /** Error of the scores K Q^T before the softmax, as the calibration predicts it. */
  readonly keyError: number;
  /** Error of V W_O, as the calibration predicts it. */
  readonly valueError: number;
  /** Errors on `text`, if one was given. */
  readonly measured?: MeasuredErrors;
}

/** A model whose attention was compressed, and what compression did. */
export interface CompressedModel {
  /** With an `EigenAttention` in place of every attention layer; saved and loaded like any tfjs model. */
  readonly model: tf.LayersModel;
  readonly compression: ModelCompression;
  /** One row per depth. */
  readonly rows: readonly CompressionRow[];
  /** Numbers stored per token over all depths and heads. */
  readonly storedNumbers: number;
  /** The same for the dense model. */
  readonly denseNumbers: number;
  /** What a user should know of the result. */
  readonly warnings: readonly string[];
  /** Frees the weights; those of the dense model stay. A second call does nothing. */
  dispose(): void;
  [Symbol.dispose](): void;
}

const ranksOfSide = v.union(
  [v.number(), v.array(v.number())],
  'expected a rank, or a list with one for each depth',
);
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
  tokens: v.optional(atLeast(1), 256),
  ropeMode: v.optional(v.picklist(['before', 'after'], 'expected "before" or "after"'), 'before'),
  distances: v.optional(v.picklist(['uniform', 'falling'], 'expected "uniform" or "falling"'), 'falling'),
  center: v.optional(v.boolean('expected true or false'), false),
  ridge: v.optional(positiveNumber, 1e-3),
  ranks: v.optional(v.strictObject({keys: ranksOfSide, values: ranksOfSide}, 'expected {keys, values}')),
  text: v.optional(v.custom<TextLike>(() => true)), // idsOf judges it
  plan: v.optional(v.custom<PlanLike>(() => true)), // asPlan does
  ...progressEntries,
});

/**
 * A model whose attention computes and caches in latents: bases are found from a calibration, ranks are allotted to depths and sides,
 * and both are merged into the weights. The given model does not change; weights of other layers are shared. Progress counts sides
 * whose cost is measured.
 *
 * What `loadModel` returned comes back whole, with its tokenizer and its config, for `generate`, `evaluate` and `saveModel`; `name` and
 * `source` are still those of the dense model.
 *
 * @throws InvalidArgumentError if options do not fit, a rank exceeds the tokens of the calibration, or a layer is already compressed;
 *   ModelError if the calibration is of another model or a layer cannot be compressed; the signal's reason.
 */
export async function compress(
  model: LoadedModel,
  calibration: Calibration,
  options?: CompressOptions,
): Promise<CompressedModel & LoadedModel>;
export async function compress(
  model: ModelLike,
  calibration: Calibration,
  options?: CompressOptions,
): Promise<CompressedModel>;
export async function compress(
  model: ModelLike,
  calibration: Calibration,
  given: CompressOptions = {},
): Promise<CompressedModel> {
  const {ranks, text, plan, onProgress, signal, ...options} = checkOptions('compress', schema, given);
  checkWays({ratio: options.ratio, ranks, errorBudget: options.errorBudget});
  const ids = text === undefined ? undefined : idsOf(model, text, 'text');
  const layersModel = modelOf(model);
  const prepared = await prepare(layersModel, calibration, {
    ...options,
    keyMethod: options.keyMethod ?? options.method,
    valueMethod: options.valueMethod ?? options.method,
  });
  const {attentions, dim} = prepared;
  const most = Math.min(options.tokens, contextLengthOf(model));
  const sample = ids && (await FeatureSample.of(layersModel, attentions, ids.slice(0, most)));
  try {
    const allotted = await allotRanks(prepared, {...options, ranks, sample, onProgress, signal});
    const warnings = checkTokens(calibration.tokens, dim, Math.max(...allotted.keys, ...allotted.values));
    const compression = {
      ropeMode: options.ropeMode,
      keyRanks: allotted.keys,
      valueRanks: allotted.values,
      centered: options.center,
      cachePolicies:
        plan === undefined
          ? undefined
          : policiesOf(
              plan,
              attentions.map(({heads, kvHeads}, depth) => ({
                ...{depth, heads, kvHeads, dim: allotted.keys[depth]!, dimV: allotted.values[depth]!},
                headDim: dim,
              })),
            ),
    };
    const rows = await rowsOf(prepared, allotted, sample);
    const numbers = (ofRow: (row: CompressionRow) => number) =>
      rows.reduce((sum, row) => sum + attentions[row.depth]!.kvHeads * ofRow(row), 0);
    return {
      ...wholeOf(model, await copyModel(layersModel, replacementsOf(prepared, compression)), compression),
      compression,
      rows,
      storedNumbers: numbers(({keyRank, valueRank}) => keyRank + valueRank),
      denseNumbers: numbers(() => 2 * dim),
      warnings,
    };
  } finally {
    sample?.dispose();
  }
}

/** All that came with the dense model, with another model and its compression in the config. */
function wholeOf(dense: ModelLike, model: tf.LayersModel, compression: ModelCompression) {
  let isDisposed = false;
  const dispose = () => {
    if (!isDisposed) model.dispose();
    isDisposed = true;
  };
  const beside: Partial<LoadedModel> = 'layers' in dense ? {} : dense;
  const config = beside.config && {...beside.config, compression};
  return {...beside, config, model, dispose, [Symbol.dispose]: dispose};
}

function checkWays(ways: Readonly<Record<string, unknown>>): void {
  const given = Object.entries(ways).flatMap(([name, value]) => (value === undefined ? [] : [name]));
  if (given.length < 2) return;
  throw new InvalidArgumentError(`compress got ${given.join(' and ')}; give one of them.`);
}

/** Warnings of a calibration on few tokens. */
function checkTokens(tokens: number, dim: number, rank: number): string[] {
  if (tokens < rank) {
    throw new InvalidArgumentError(
      `The calibration saw ${tokens} tokens, fewer than the rank of ${rank}; calibrate on more, or ask for a lower rank.`,
    );
  }
  if (tokens >= 16 * dim) return [];
  return [
    `The calibration saw ${tokens} tokens for heads of ${dim} numbers${tokens < dim ? ', so that directions beyond them are arbitrary' : ''}; ` +
      `calibrate on ${16 * dim} tokens or more.`,
  ];
}

function policiesOf(given: PlanLike, shapes: readonly LayerShape[]) {
  const plan = asPlan(given);
  return shapes.map(({depth}) => specOf(plan.policyFor(depth, shapes.length, shapes)));
}

/** Predicted and measured errors by depth. */
async function rowsOf(
  {attentions, weightsOf, bases, options}: Prepared,
  ranks: Ranks,
  sample: FeatureSample | undefined,
): Promise<CompressionRow[]> {
  const curves = errorCurves(bases);
  const rows: CompressionRow[] = [];
  for (const depth of attentions.keys()) {
    const [keyRank, valueRank] = [ranks.keys[depth]!, ranks.values[depth]!];
    const errorOf = (side: 'keys' | 'values', rank: number) =>
      Math.sqrt(curves.find(curve => curve.depth === depth && curve.side === side)!.errors[rank]!);
    const ranksOfDepth = {keys: keyRank, values: valueRank};
    const measured =
      sample &&
      (await sample.errors(
        depth,
        bases[depth]!,
        options.ropeMode,
        ranksOfDepth,
        (await weightsOf(depth)).output,
      ));
    const [keyError, valueError] = [errorOf('keys', keyRank), errorOf('values', valueRank)];
    rows.push({depth, keyRank, valueRank, keyError, valueError, measured});
  }
  return rows;
}

function replacementsOf(
  {attentions, weightsOf, bases}: Prepared,
  compression: ModelCompression,
): Map<tf.layers.Layer, () => Promise<Replacement>> {
  return new Map(
    attentions.map((attention, depth) => {
      const {layer, heads, kvHeads, headDim, rope} = attention;
      const args = eigenArgs(attention, compression, depth);
      const mode = keyModeAt(attention, compression, depth);
      const sizes = {numHeads: heads, numKvHeads: kvHeads, headDim, depth, rope};
      const scoring = scoringOfCompressed(attention);
      const replacement = async () => {
        const weights = mergeWeights(attention, await weightsOf(depth), bases[depth]!, {...args, mode});
        const useBias = weights['query_bias'] !== undefined;
        const useOutputBias = weights['output_bias'] !== undefined;
        return {args: {...sizes, ...scoring, useBias, useOutputBias, ...args}, weights};
      };
      return [layer, replacement];
    }),
  );
}
