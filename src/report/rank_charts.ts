import {type HeatCell, heatMapSvg} from './heat_map.js';
import {type RankReport, featureNames} from './rank_tables.js';
import {count} from '../../base/units.js';

/** Draws the effective ranks of features and attention matrices by depth and head as SVG. */
export function featureChart({model, text, tokens, energy, window, features, attention}: RankReport) {
  const ofFeatures = features.map(({feature, kvHead, depth, dim, effectiveRank}): HeatCell => ({
    panel: featureNames[feature] ?? feature,
    column: kvHead,
    depth,
    share: effectiveRank / dim,
    label: String(effectiveRank),
  }));
  const ofAttention = attention.map(({depth, head, tokens: most, effectiveRank}): HeatCell => ({
    panel: 'attention',
    column: head,
    depth,
    share: effectiveRank / most,
    label: String(Math.round(effectiveRank)),
  }));
  const dim = features[0]?.dim ?? 0;
  return heatMapSvg({
    title: `${model}: effective rank by depth and head`,
    subtitle:
      `${count(tokens)} tokens of ${text}; dimensions with ${Math.round(100 * energy)} % of the energy, ` +
      `of ${dim}; attention matrices of ${count(window)} tokens`,
    columnTitle: 'head',
    legendTitle: 'share of full rank',
    cells: [...ofFeatures, ...ofAttention],
  });
}

/** Draws the effective rank of every weight matrix, relative to a random matrix of its shape, as SVG. */
export function weightChart({model, spectra}: RankReport) {
  const groups = {
    attention: ['query', 'key', 'value', 'output'],
    'feed-forward': ['gate', 'up', 'down'],
  } as const;
  return heatMapSvg({
    title: `${model}: rank of weights`,
    subtitle: 'singular values with 90 % of the energy, in % of what a random matrix of the same shape needs',
    columnTitle: 'weight',
    legendTitle: 'share of random',
    cells: Object.entries(groups).flatMap(([panel, kinds]) =>
      spectra
        .filter(({weight}) => (kinds as readonly string[]).includes(weight))
        .map(({weight, depth, effectiveRank90, randomRank90}): HeatCell => {
          const share = effectiveRank90 / randomRank90;
          return {panel, column: weight, depth, share, label: String(Math.round(100 * share))};
        }),
    ),
  });
}
