import * as v from 'valibot';
import {atLeast, checkOptions, probability} from '../../../base/options.js';
import {mean} from '../../../base/statistics.js';
import {KVCache} from '../../../cache/kv_cache.js';
import {FeatureGrams} from '../../../cache/watch/feature_grams.js';
import {
  type ModelLike,
  type TextLike,
  contextLengthOf,
  idsOfTexts,
  modelOf,
} from '../../../models/model_like.js';
import {type ProgressOptions, countProgress, progressEntries} from '../../../models/progress.js';
import {watchText} from '../../../models/watch_text.js';
import {type AttentionRank, AttentionWindow} from './attention_window.js';
import {type FeatureRank, featureRanks} from './feature_ranks.js';

export interface AnalyzeRanksOptions extends ProgressOptions {
  /** Use only the first tokens of each text, at most this many and at most the model's context. Default 1024. */
  readonly tokens?: number;
  /** Attention matrices are of the first tokens of each text, at most this many. Default 256. */
  readonly window?: number;
  /** Share of the sum of squared singular values that the effective rank keeps, in (0, 1]. Default 0.99. */
  readonly energy?: number;
}

export interface RankAnalysis {
  /** Tokens whose features were measured, all texts together. */
  readonly tokens: number;
  /** Number of tokens of the largest attention matrix. */
  readonly window: number;
  readonly energy: number;
  readonly features: readonly FeatureRank[];
  /** Means over the texts. */
  readonly attention: readonly AttentionRank[];
}

const schema = v.strictObject({
  tokens: v.optional(atLeast(1), 1024),
  window: v.optional(atLeast(1), 256),
  energy: v.optional(probability, 0.99),
  ...progressEntries,
});

/**
 * Measures effective and stable ranks of keys, values, queries, scores K Q^T and attention matrices, and entropies of attention, while a
 * model runs over texts with its full cache.
 *
 * Features are measured over all tokens through their Gram matrices, so memory does not grow with the texts. Cache compression depends on
 * the features: an attention matrix may have a low rank even if its keys do not.
 *
 * @param model what `loadModel` returns, or a `tf.LayersModel`, which takes ids.
 * @param texts a text, its ids, or a list of texts and lists of ids. `onProgress` counts tokens, of all texts.
 * @throws InvalidArgumentError if texts or options are not allowed; the signal's reason.
 */
export async function analyzeRanks(
  model: ModelLike,
  texts: TextLike | readonly TextLike[],
  options: AnalyzeRanksOptions = {},
): Promise<RankAnalysis> {
  const {tokens, window, energy, ...progress} = checkOptions('analyzeRanks', schema, options);
  const tfModel = modelOf(model);
  const idsOfAll = idsOfTexts(model, texts, Math.min(tokens, contextLengthOf(model)));
  const afterChunk = countProgress(
    idsOfAll.reduce((sum, {length}) => sum + length, 0),
    progress,
  );
  const grams = new FeatureGrams();
  const attention: AttentionRank[][] = [];
  try {
    for (const ids of idsOfAll) {
      const first = new AttentionWindow();
      const cache = new KVCache(tfModel, undefined, {expectedTokens: ids.length});
      try {
        await watchText(tfModel, ids, {chunk: window, cache, watchers: [grams, first], afterChunk});
        attention.push(await first.ranks(energy));
      } finally {
        cache.dispose();
        first.dispose();
      }
    }
    const features = await featureRanks(grams, undefined, energy);
    const longest = Math.max(...idsOfAll.map(({length}) => length));
    return {
      tokens: grams.tokens,
      window: Math.min(window, longest),
      energy,
      features,
      attention: meanOfTexts(attention),
    };
  } finally {
    grams.dispose();
  }
}

/** Means over texts, head by head. Heads have the same order in every text; shorter texts have smaller matrices. */
function meanOfTexts(texts: readonly AttentionRank[][]): AttentionRank[] {
  const [first = []] = texts;
  return first.map(({depth, head}, index) => {
    const average = (number: (row: AttentionRank) => number) => mean(texts.map(rows => number(rows[index]!)));
    return {
      depth,
      head,
      tokens: average(row => row.tokens),
      effectiveRank: average(row => row.effectiveRank),
      stableRank: average(row => row.stableRank),
      entropy: average(row => row.entropy),
      renyi2Entropy: average(row => row.renyi2Entropy),
    };
  });
}
