/** Ranks of features in the cache, of attention matrices and of weights. */
export {type AnalyzeRanksOptions, type RankAnalysis, analyzeRanks} from './analyze_ranks.js';
export {AttentionWindow, type AttentionRank} from './attention_window.js';
export {FeatureGrams, type FeatureGramsOptions, type GramSide} from '../../../cache/watch/feature_grams.js';
export {type Feature, type FeatureRank, featureRanks} from './feature_ranks.js';
export {type SeenTokens, WatchedCache, type Watcher} from '../../../cache/watch/watched_cache.js';
export {type RankVerdict, type WeightGroup, type WeightSummary, weightSummary} from './weight_summary.js';
export {type WeightKind, type WeightSpectrum, weightSpectra} from './weight_spectra.js';
