import {mean} from '../../base/statistics.js';
import type {Feature, RankAnalysis, WeightSpectrum, WeightSummary} from '../evaluate/index.js';
import {type Column, type NamedColumns, type TableOptions, columnsOf, tableText} from './table.js';
import {outputWidth} from './terminal.js';
import {count, counted, fixed, percent} from '../../base/units.js';
import {wrappedText} from './wrap.js';

/** Ranks of a model's weights, and of its features and attention on a text, with the names of model and text. */
export interface RankReport extends RankAnalysis {
  readonly model: string;
  readonly text: string;
  readonly spectra: readonly WeightSpectrum[];
  readonly weights: readonly WeightSummary[];
}

/** Names of the features in tables and charts. */
export const featureNames: Readonly<Partial<Record<Feature, string>>> = {
  keys: 'K',
  rotatedKeys: 'K rotated',
  values: 'V',
  queries: 'Q',
  scores: 'KQ^T',
  rotatedScores: 'KQ^T rotated',
};

const featureColumns = ['keys', 'rotatedKeys', 'values', 'queries', 'scores', 'rotatedScores'] as const;
const attentionColumns = ['attention', 'entropy', 'renyi2'] as const;
const weightColumns = [
  'weights',
  'energy90',
  'random90',
  'toRandom',
  'verdict',
  'energy99',
  'random99',
  'stable',
  'matrices',
] as const;
/** The columns of both tables: those of depths, then those of weights. */
export const rankColumnNames = ['depth', ...featureColumns, ...attentionColumns, ...weightColumns] as const;

/** Returns two tables: features and attention by depth, and weights with a verdict. */
export function rankTables(report: RankReport, options: TableOptions = {}): string {
  const {model, text, tokens, energy, window, weights, features} = report;
  const {width = outputWidth()} = options;
  const dim = features[0]?.dim ?? 0;
  const byDepth = depthTable(report, options);
  const byWeight = weightTable(weights, options);
  const prose = (sentences: string) => wrappedText(sentences, width);
  return [
    prose(`${model} on ${counted(tokens, 'token')} of ${text}.`),
    ...(byDepth === ''
      ? []
      : [
          '',
          byDepth,
          '',
          prose(
            `Effective rank (${percent(energy, 0)} of the energy) and, in brackets, stable rank; means over heads. A head has ` +
              `${counted(dim, 'dimension')}. Attention matrices are those of the first ${counted(window, 'token')}. KQ^T: scores of all keys with all queries.`,
          ),
        ]),
    ...(byWeight === ''
      ? []
      : [
          '',
          byWeight,
          '',
          prose(
            'Shares of the full rank that hold 90 % and 99 % of the energy, means over depths. Random: the same for a random matrix of that shape; the ratio and the verdict compare with it at 90 %.',
          ),
        ]),
    '',
    ...verdicts(weights).map(prose),
  ].join('\n');
}

interface DepthRow {
  readonly depth: string;
  readonly isIn: (depth: number) => boolean;
}

function depthTable({features, attention, window}: RankReport, options: TableOptions): string {
  const depths = [...new Set(features.map(({depth}) => depth))];
  const rows: DepthRow[] = [
    ...depths.map(depth => ({depth: String(depth), isIn: (other: number) => other === depth})),
    {depth: 'all', isIn: () => true},
  ];
  const ofFeature = (name: (typeof featureColumns)[number]): Column<DepthRow> => ({
    name,
    head: featureNames[name] ?? name,
    cell: ({isIn}) => ranks(features.filter(({feature, depth}) => feature === name && isIn(depth))),
    extra: /rotated|queries/i.test(name),
  });
  const heads = ({isIn}: DepthRow) => attention.filter(({depth}) => isIn(depth));
  const ofAttention: NamedColumns<(typeof attentionColumns)[number], DepthRow> = {
    attention: {head: `attention (of ${window})`, cell: row => ranks(heads(row))},
    entropy: {head: 'entropy (nats)', cell: row => fixed(mean(heads(row).map(({entropy}) => entropy)), 2)},
    renyi2: {
      head: 'Renyi-2 (nats)',
      cell: row => fixed(mean(heads(row).map(({renyi2Entropy}) => renyi2Entropy)), 2),
    },
  };
  const shown = featureColumns.filter(name => features.some(({feature}) => feature === name));
  const columns = [
    {name: 'depth', head: 'depth', cell: ({depth}: DepthRow) => depth},
    ...shown.map(ofFeature),
    ...columnsOf(attentionColumns, ofAttention),
  ];
  return tableText(columns, rows, options);
}

function ranks(of: readonly {readonly effectiveRank: number; readonly stableRank: number}[]): string {
  const effective = mean(of.map(({effectiveRank}) => effectiveRank));
  return `${fixed(effective, 1)} (${fixed(mean(of.map(({stableRank}) => stableRank)), 1)})`;
}

const groupNames: Readonly<Record<string, string>> = {
  attention: 'all of attention',
  feedForward: 'all of feed-forward',
};

function weightTable(weights: readonly WeightSummary[], options: TableOptions): string {
  const columns: NamedColumns<(typeof weightColumns)[number], WeightSummary> = {
    weights: {head: 'weights', cell: row => groupNames[row.weight] ?? row.weight, align: 'left'},
    matrices: {head: 'matrices', cell: row => count(row.matrices), extra: true},
    energy90: {head: 'energy, 90 %', cell: row => percent(row.share90, 0)},
    random90: {head: 'random, 90 %', cell: row => percent(row.randomShare90, 0)},
    energy99: {head: 'energy, 99 %', cell: row => percent(row.share99, 0)},
    random99: {head: 'random, 99 %', cell: row => percent(row.randomShare99, 0)},
    stable: {head: 'stable rank', cell: row => fixed(row.stableRank, 1)},
    toRandom: {head: 'against random', cell: row => `${fixed(row.toRandom, 2)}x`},
    verdict: {head: 'verdict', cell: row => row.verdict, align: 'left'},
  };
  return tableText(columnsOf(weightColumns, columns), weights, options);
}

/** One sentence for each group of weights. */
function verdicts(weights: readonly WeightSummary[]): string[] {
  const lines = {attention: "Attention's weights", feedForward: 'Feed-forward weights'};
  return Object.entries(lines).flatMap(([group, name]) => {
    const found = weights.find(({weight}) => weight === group);
    if (found === undefined) return [];
    const rank = `${percent(found.share90, 0)} of the full rank hold 90 % of the energy, ${fixed(found.toRandom, 2)}x of a random matrix's rank`;
    return [`${name}: ${found.verdict} (${rank}).`];
  });
}
