import type {Feature, WeightSummary} from '../../evaluate/index.js';
import {mean} from '../../evaluate/statistics.js';
import {type RankReport, featureNames} from './rank_report.js';
import {type Column, tableText} from './table.js';
import {count} from './units.js';

/** Two tables: of what a text becomes in the model, by depth, and of the weights, with a verdict. */
export function rankTables(report: RankReport): string {
  const {model, text, tokens, energy, window, weights, features} = report;
  const dim = features[0]?.dim ?? 0;
  return [
    `${model} on ${count(tokens)} tokens of ${text}`,
    '',
    depthTable(report),
    `Effective rank (${percent(energy)} of the energy) and, in brackets, stable rank; means over heads. Features of a head have ${dim}`,
    `dimensions; attention matrices are those of the first ${count(window)} tokens; KQ^T: all keys with all queries.`,
    '',
    weightTable(weights),
    'Shares of the full rank, means over depths. Random: what a random matrix of the same shape has; against it, at 90 %.',
    ...verdicts(weights),
  ].join('\n');
}

type DepthRow = readonly [name: string, cells: Readonly<Record<string, string>>];

function depthTable({features, attention, window}: RankReport): string {
  const depths = [...new Set(features.map(({depth}) => depth))];
  const shown = Object.entries(featureNames).filter(([feature]) =>
    features.some(rank => rank.feature === feature),
  );
  const rowOf = (name: string, isIn: (depth: number) => boolean): DepthRow => {
    const heads = attention.filter(({depth}) => isIn(depth));
    const ofFeature = (feature: Feature) =>
      features.filter(rank => rank.feature === feature && isIn(rank.depth));
    const cells = shown.map(([feature, title]) => [title, ranks(ofFeature(feature as Feature))]);
    return [
      name,
      {
        ...(Object.fromEntries(cells) as Record<string, string>),
        attention: ranks(heads),
        entropy: mean(heads.map(({entropy}) => entropy)).toFixed(2),
        renyi2: mean(heads.map(({renyi2Entropy}) => renyi2Entropy)).toFixed(2),
      },
    ];
  };
  const column = (head: string, cell: string): Column<DepthRow> => ({
    head,
    cell: ([, cells]) => cells[cell]!,
  });
  return tableText(
    [
      {head: 'depth', cell: ([name]) => name},
      ...shown.map(([, title]) => column(title, title)),
      column(`attention (of ${window})`, 'attention'),
      column('entropy (nats)', 'entropy'),
      column('Renyi-2 (nats)', 'renyi2'),
    ],
    [...depths.map(depth => rowOf(String(depth), other => other === depth)), rowOf('all', () => true)],
  );
}

function ranks(of: readonly {readonly effectiveRank: number; readonly stableRank: number}[]): string {
  const effective = mean(of.map(({effectiveRank}) => effectiveRank));
  return `${effective.toFixed(1)} (${mean(of.map(({stableRank}) => stableRank)).toFixed(1)})`;
}

const groupNames: Readonly<Record<string, string>> = {
  attention: 'all of attention',
  feedForward: 'all of feed-forward',
};

function weightTable(weights: readonly WeightSummary[]): string {
  return tableText(
    [
      {head: 'weights', cell: row => groupNames[row.weight] ?? row.weight, align: 'left'},
      {head: 'matrices', cell: row => count(row.matrices)},
      {head: '90 % of energy', cell: row => percent(row.share90)},
      {head: 'random at 90 %', cell: row => percent(row.randomShare90)},
      {head: '99 % of energy', cell: row => percent(row.share99)},
      {head: 'random at 99 %', cell: row => percent(row.randomShare99)},
      {head: 'stable rank', cell: row => row.stableRank.toFixed(1)},
      {head: 'against random', cell: row => `${row.toRandom.toFixed(2)}x`},
      {head: 'verdict', cell: row => row.verdict, align: 'left'},
    ],
    weights,
  );
}

/** The claim in question, answered in a line for each group. */
function verdicts(weights: readonly WeightSummary[]): string[] {
  const lines = {attention: "Attention's weights", feedForward: 'Feed-forward weights'};
  return Object.entries(lines).flatMap(([group, name]) => {
    const found = weights.find(({weight}) => weight === group);
    if (found === undefined) return [];
    const rank = `${percent(found.share90)} of the full rank hold 90 % of the energy, ${found.toRandom.toFixed(2)}x of a random matrix's rank`;
    return [`${name}: ${found.verdict} (${rank}).`];
  });
}

const percent = (share: number) => `${Math.round(100 * share)} %`;
