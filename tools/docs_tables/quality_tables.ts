import type {Figure} from '../../bench/support/history.js';
import {count, percent} from '../../base/units.js';
import {list, number, pivot, text} from './cells.js';
import {type Table, changed, code, digits, nats, smollm2, tokens} from './table.js';
import {atCommonLengths, taskCase, taskCells} from './task_cells.js';

// What plans lose.

const evaluation = [
  ['plan', code('plan')],
  ['of float32 bytes', number('ratioToFloat32', digits(3))],
  ['perplexity', number('perplexity', digits(2))],
  ['change', number('change', changed)],
  ['KL (nats)', number('klDivergence', nats)],
  ['same top token', number('top1Agreement', value => percent(value, 1))],
] as const;

/** The policies of the README, in its order: which tokens stay, and how they are stored. */
const shown: readonly (readonly [plan: string, stays: string, stored: string])[] = [
  ['full', 'all', 'float32'],
  ['quantized', 'all', '8-bit codes, keys per channel, values per token'],
  ['quantized:keyBits=5,valueBits=4', 'all', '5-bit codes for keys, 4-bit codes for values'],
  ['quantized:bits=4,groupSize=32', 'all', '4-bit codes'],
  ['quantized:bits=3,groupSize=32', 'all', '3-bit codes'],
  ['transform:bits=4.2', 'all', '0 to 8 bits by channel, in the metric of the loss'],
  ['transform:bits=3.24', 'all', 'the same'],
  ['transform:bits=2.28', 'all', 'the same'],
  [
    'mixed:budget=534kB',
    'nearly all',
    'codes of 4.5, 2.3 or 0.8 bits, fewer for what is read less; at most 534 kB a depth',
  ],
  ['mixed:budget=396kB', 'nearly all', 'the same, at most 396 kB a depth'],
  ['float8', 'all', 'E4M3, or E5M2'],
  ['adaptive', 'all', '2, 4, 8 bits or float32, as a measured error allows'],
  ['onlineSvd', 'all', 'rank 32, in a decomposition that grows with the text'],
  ['layered:longTermBits=4', 'all', '4-bit codes; the newest 128 tokens are exact'],
  ['layered:longTermBits=4,rankOf=keys', 'all', 'the same, with keys of rank 32'],
  ['h2o', 'the 256 most attended and the newest 256', 'float32'],
  ['lru', 'the 512 last used', 'float32'],
  ['lfu', 'the 512 most used', 'float32'],
  ['sliding', 'the first 4 and the newest 512', 'float32'],
];

export const shownPlans: ReadonlySet<string> = new Set(shown.map(([plan]) => plan));

/** Codecs of others and of eigenkv over one text: tools/cache_codecs. */
const codecsOfTheField = (tokensOfText: string): Table => ({
  ...{what: 'cache_codecs', subject: `${smollm2}, ${tokensOfText}`},
  cells: figures =>
    list(figures, [
      ['codec', text('codec')],
      ['settings', figure => (figure['codec'] === 'eigenkv' ? code : text)('settings')(figure)],
      ['of float32 bytes', number('ratioToFloat32', digits(3))],
      ['of it exact tokens', number('exactRatio', digits(3))],
      ['perplexity', number('change', changed)],
      ['KL (nats)', number('klDivergence', nats)],
      ['same top token', number('top1Agreement', value => percent(value, 1))],
    ]),
});

/** Keepers at equal numbers of tokens: see bench/keepers.ts. */
function keepersOf(subject: string, what = 'keepers'): Table {
  return {
    ...{what, subject},
    case: ({keeper, kept}) => [keeper, kept].join('|'),
    cells: figures =>
      pivot(byKeeperAndSize(figures), {
        rows: [['keeper', text('keeper')]],
        ...{across: figure => `${count(Number(figure['kept']))} kept`, cell: lossOf},
      }),
  };
}

/** In the order of rows: each by itself, refitted, and with fitted values. */
const keepers = [
  'sliding',
  'h2o',
  'h2o, sums',
  'tova',
  'snapKv',
  'keyDiff',
  'expectedAttention',
  'dropKv',
].flatMap(keeper => [keeper, `${keeper}, refitted`, `${keeper}, fitted`]);

/** Those of `keepers`, the largest sizes first. */
function byKeeperAndSize(figures: readonly Figure[]): Figure[] {
  const placeOf = ({keeper}: Figure) => keepers.indexOf(String(keeper));
  return figures
    .filter(figure => placeOf(figure) >= 0)
    .toSorted((a, b) => Number(b['kept']) - Number(a['kept']) || placeOf(a) - placeOf(b));
}

/** The loss of a plan in one cell; of plans that are named by their bits, their size as well. */
function lossOf(figure: Figure): string {
  const {size} = figure;
  const loss = [
    number('klDivergence', nats)(figure),
    number('change', changed)(figure),
    number('top1Agreement', value => percent(value, 1))(figure),
  ].join(', ');
  return String(size).endsWith('bits') ? `${loss} at ${number('ratioToFloat32', digits(3))(figure)}` : loss;
}

export const qualityTables: Readonly<Record<string, Table>> = {
  policies: {
    ...{what: 'eval', subject: smollm2, case: text('plan')},
    cells: figures => list(figures, [...evaluation, ['bytes per token', number('bytesPerToken', count)]]),
  },
  policies_in_short: {
    ...{what: 'eval', subject: smollm2, case: text('plan')},
    cells: figures => {
      const rows = shown.flatMap(([plan, stays, stored]) =>
        figures.filter(figure => figure['plan'] === plan).map(figure => ({...figure, stays, stored})),
      );
      return list(rows, [
        ['policy', code('plan')],
        ['tokens that stay', text('stays')],
        ['stored as', text('stored')],
        ['of float32 bytes', number('ratioToFloat32', digits(3))],
        ['perplexity', number('change', changed)],
        ['KL (nats)', number('klDivergence', nats)],
      ]);
    },
  },
  keep_and_store: {
    ...{what: 'keep_and_store', subject: smollm2, case: ({part, plan}) => `${part!}|${plan!}`},
    cells: figures => list(figures, [['part', text('part')], ...evaluation]),
  },
  key_groups: {
    ...{what: 'key_groups', subject: smollm2, case: ({groups, keep}) => `${groups!}|${keep!}`},
    cells: figures =>
      list(figures, [
        ['4-bit keys share scales within a', text('groups')],
        ['tokens kept', text('keep')],
        ...evaluation.filter(([heading]) => heading !== 'plan'),
      ]),
  },
  keepers_wikitext: keepersOf(`${smollm2}, 4,096 tokens of wikitext2-test.txt`),
  keepers_shakespeare: keepersOf(`${smollm2}, 4,096 tokens of tinyshakespeare.txt`),
  prompts_wikitext: keepersOf(`${smollm2}, 6 prompts of 2,048 tokens of wikitext2-test.txt`, 'prompts'),
  prompts_shakespeare: keepersOf(`${smollm2}, 6 prompts of 2,048 tokens of tinyshakespeare.txt`, 'prompts'),
  codecs_wikitext: codecsOfTheField('4,096 tokens of wikitext2-test.txt'),
  codecs_shakespeare: codecsOfTheField('2,048 tokens of tinyshakespeare.txt'),
  transform_models: {
    ...{what: 'transform_models', subject: ''},
    case: ({model, text: of, size}) => [model, of, size].join('|'),
    cells: figures =>
      pivot(figures, {
        rows: [
          ['model', text('model')],
          ['text', text('text')],
        ],
        ...{across: text('size'), cell: lossOf},
      }),
  },
  tasks_by_length: {
    ...{what: 'tasks', subject: smollm2, case: taskCase},
    cells: figures => taskCells(figures, tokens),
  },
  tasks_by_kind: {
    ...{what: 'tasks', subject: smollm2, case: taskCase},
    cells: figures =>
      taskCells(atCommonLengths(figures), ({task}) => `\`${String(task).replace('mixed: ', '')}\``),
  },
};
