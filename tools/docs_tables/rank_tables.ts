import type {Figure} from '../../bench/support/history.js';
import {fixed, short} from '../../base/units.js';
import {list, number, pivot, text} from './cells.js';
import {type Table, changed, digits, nats, share, smollm2} from './table.js';

// Ranks of weights and states, and what low rank loses.

const lowRank = (model: string): Table => ({
  ...{what: 'low_rank', subject: model},
  cells: figures =>
    pivot(
      figures.filter(figure => figure['ratio'] !== undefined && figure['latents'] === undefined),
      {
        rows: [
          ['ranks', text('ranks')],
          ['method', text('method')],
        ],
        across: number('ratio', short),
        cell: figure => `${number('change', changed)(figure)}, ${number('kl', nats)(figure)}`,
      },
    ),
});

const lowRankCodes = (model: string): Table => ({
  ...{what: 'low_rank', subject: model},
  cells: figures =>
    list(
      figures.filter(figure => figure['latents'] !== undefined),
      [
        ['ranks', text('ranks')],
        ['share of the numbers', number('ratio', short)],
        ['codes', text('latents')],
        ['of float32 bytes', number('size', digits(3))],
        ['perplexity', number('change', changed)],
        ['KL (nats)', number('kl', nats)],
      ],
    ),
});

const ranked = (key: string, random: string) => (figure: Figure) =>
  typeof figure[key] === 'number' ? `${number(key, share)(figure)} (${number(random, share)(figure)})` : '-';

const weightRanks = (model: string): Table => ({
  ...{what: 'weight_ranks', subject: model},
  cells: figures =>
    list(figures, [
      ['weights', text('weights')],
      ['90 % of the energy', ranked('rank90', 'randomRank90')],
      ['of a random matrix', number('againstRandom', value => `${fixed(value, 2)}x`)],
      ['99 % of the energy', ranked('rank99', 'randomRank99')],
      ['stable rank', number('stableRank', short)],
    ]),
});

const stateRanks = (model: string): Table => ({
  ...{what: 'state_ranks', subject: model},
  cells: figures =>
    list(
      figures.filter(figure => figure['rank99'] !== undefined),
      [
        ['matrix', text('matrix')],
        ['99 % of the energy', figure => `${number('rank99', short)(figure)} of ${text('of')(figure)}`],
        ['stable rank', number('stableRank', short)],
      ],
    ),
});

export const rankTables: Readonly<Record<string, Table>> = {
  weights_smollm2: weightRanks(smollm2),
  weights_embedded: weightRanks('Embedded model'),
  states_smollm2: stateRanks(smollm2),
  states_embedded: stateRanks('Embedded model'),
  low_rank_embedded: lowRank('Embedded model'),
  low_rank_smollm2: lowRank(smollm2),
  low_rank_gpt2: lowRank('GPT-2'),
  codes_embedded: lowRankCodes('Embedded model'),
  codes_smollm2: lowRankCodes(smollm2),
  codes_gpt2: lowRankCodes('GPT-2'),
};
