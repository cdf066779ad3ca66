import * as v from 'valibot';
import {KVCache} from '../../../cache/kv_cache.js';
import {atLeast, checkOptions, probability} from '../../../base/options.js';
import {mean} from '../statistics.js';
import {type AttentionRank, AttentionWindow} from './attention_window.js';
import {FeatureGrams} from '../../../cache/watch/feature_grams.js';
import {type FeatureRank, featureRanks} from './feature_ranks.js';
import {type TextOrIds, type WatchedModel, measuredIds} from './measured_texts.js';
import {type ProgressOptions, countSteps, watchText} from './watch_text.js';

export interface AnalyzeRanksOptions extends ProgressOptions {
  /** Of each text, the first so many tokens; never more than the model's context. Default 1024. */
  readonly tokens?: number;
  /** Attention matrices are those of the first so many tokens of each text. Default 256. */
  readonly window?: number;
  /** Share of the squared singular values that the effective rank keeps. Default 0.99. */
  readonly energy?: number;
}

export interface RankAnalysis {
  /** Tokens that the features are of, all texts together. */
  readonly tokens: number;
  readonly energy: number;
  readonly features: readonly FeatureRank[];
  /** Means over the texts. */
  readonly attention: readonly AttentionRank[];
}

const schema = v.strictObject({
  tokens: v.optional(atLeast(1), 1024),
  window: v.optional(atLeast(1), 256),
  energy: v.optional(probability, 0.99),
});

/**
 * Effective and stable ranks of what a cache stores (keys, values, and their scores K Q^T with the queries) and of the
 * attention matrices, with their entropies, on the way of texts through a model with its full cache.
 *
 * Features are seen in all tokens, by their Gram matrices: memory does not grow with the texts. What compression saves
 * depends on them. An attention matrix may be of low rank where its keys are not.
 *
 * @throws InvalidArgumentError where texts or options are not fit; the signal's reason.
 */
export async function analyzeRanks(
  loaded: WatchedModel,
  texts: readonly TextOrIds[],
  {onProgress, signal, ...numbers}: AnalyzeRanksOptions = {},
): Promise<RankAnalysis> {
  const {tokens, window, energy} = checkOptions('analyzeRanks', schema, numbers);
  const idsOfTexts = measuredIds(loaded, texts, tokens);
  const total = idsOfTexts.reduce((sum, {length}) => sum + length, 0);
  signal?.throwIfAborted();
  const afterStep = countSteps(total, onProgress, signal);
  const grams = new FeatureGrams();
  const attention: AttentionRank[][] = [];
  try {
    for (const ids of idsOfTexts) {
      const first = new AttentionWindow();
      const cache = new KVCache(loaded.model, undefined, {expectedTokens: ids.length});
      try {
        await watchText(loaded.model, ids, {step: window, cache, watchers: [grams, first], afterStep});
        attention.push(await first.ranks(energy));
      } finally {
        cache.dispose();
        first.dispose();
      }
    }
    const features = await featureRanks(grams, undefined, energy);
    return {tokens: grams.tokens, energy, features, attention: meanOfTexts(attention)};
  } finally {
    grams.dispose();
  }
}

/** Heads come in the same order in every text; shorter texts have smaller matrices. */
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
