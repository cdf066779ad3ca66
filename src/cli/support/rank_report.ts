import {type LoadedModel, embeddedText} from '../../../models/index.js';
import {
  type Feature,
  type RankAnalysis,
  type WeightSpectrum,
  type WeightSummary,
  analyzeRanks,
  textIds,
  weightSpectra,
  weightSummary,
} from '../../evaluate/index.js';
import {progressBar} from './progress.js';

/** Ranks of a model's weights, and of what they make of a text. */
export interface RankReport extends RankAnalysis {
  readonly model: string;
  readonly text: string;
  /** Tokens of the attention matrices. */
  readonly window: number;
  readonly spectra: readonly WeightSpectrum[];
  readonly weights: readonly WeightSummary[];
}

/** How reports call the features. */
export const featureNames: Readonly<Partial<Record<Feature, string>>> = {
  keys: 'K',
  rotatedKeys: 'K rotated',
  values: 'V',
  queries: 'Q',
  scores: 'KQ^T',
  rotatedScores: 'KQ^T rotated',
};

interface RankReportOptions {
  readonly tokens: number;
  /** Default: the held-out text that comes along. */
  readonly text: Uint8Array | undefined;
  readonly textName: string | undefined;
  readonly signal: AbortSignal;
}

const window = 256;

/** Looks at weights, features and attention matrices, with progress bars. */
export async function rankReport(
  loaded: LoadedModel,
  {tokens, text, textName = 'held-out text', signal}: RankReportOptions,
): Promise<RankReport> {
  const ids = textIds(loaded.tokenizer, text ?? (await embeddedText('heldOut')), textName);
  const bars = {text: progressBar('Watching the text'), weights: progressBar('Decomposing weights')};
  const onProgress = (bar: keyof typeof bars) => (progress: {done: number; total: number}) =>
    bars[bar].update(progress.done, progress.total);
  try {
    const analysis = await analyzeRanks(loaded, [ids], {
      tokens,
      window,
      signal,
      onProgress: onProgress('text'),
    });
    const spectra = await weightSpectra(loaded.model, {signal, onProgress: onProgress('weights')});
    return {
      model: loaded.name,
      text: textName,
      window: Math.min(window, analysis.tokens),
      weights: weightSummary(spectra),
      spectra,
      ...analysis,
    };
  } finally {
    for (const bar of Object.values(bars)) bar.stop();
  }
}

/** Without singular values: those are for programs, which call `analyzeRanks` and `weightSpectra` themselves. */
export function shortRankReport({spectra, features, ...report}: RankReport) {
  return {
    ...report,
    spectra: spectra.map(({singularValues, ...spectrum}) => ({
      ...spectrum,
      largest: singularValues[0] ?? 0,
    })),
    features: features.map(({depth, kvHead, feature, dim, effectiveRank, stableRank}) => ({
      depth,
      kvHead,
      feature,
      dim,
      effectiveRank,
      stableRank,
    })),
  };
}
