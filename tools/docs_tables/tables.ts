import type {Figure} from '../../bench/support/history.js';
import {count, fixed, percent, short, small} from '../../base/units.js';
import {type Cells, list, number, pivot, text} from './cells.js';
import {atCommonLengths, taskCase, taskCells} from './task_cells.js';

/** A table of a page: the newest run of its kind and subject, as rows of text. */
export interface Table {
  readonly what: string;
  /** What the run's subject begins with. */
  readonly subject: string;
  readonly cells: (figures: readonly Figure[]) => Cells;
  /** What a figure is of, if the table shows those of all runs, of equal ones the newest. Default: the newest run alone. */
  readonly case?: (figure: Figure) => string;
}

const smollm2 = 'SmolLM2-135M-Instruct.Q4_1';
const code = (key: string) => (figure: Figure) => `\`${text(key)(figure)}\``;
const digits = (many: number) => (value: number) => fixed(value, many);
const tokens = number('tokens', value => `${count(value)} tokens`);
/** Three digits or more, aligned: 0.137, 2.22, 43.0, 119.3. */
const milliseconds = (key: string) => number(key, value => fixed(value, value < 1 ? 3 : value < 10 ? 2 : 1));
const ms = milliseconds('ms');
const share = (value: number) => percent(value, 0);
/** A fraction as a signed percentage of three digits: +0.35 %, +18.1 %, +155 %. */
const changed = (fraction: number): string => {
  const size = Math.abs(100 * fraction);
  const shown = size >= 100 ? short(100 * fraction) : fixed(100 * fraction, size < 10 ? 2 : 1);
  return `${fraction > 0 && Number(shown) !== 0 ? '+' : ''}${shown} %`;
};
/** Nats, to three digits. */
const nats = (value: number) => (value > 0 && value < 1e-4 ? small(value) : short(value));

/** 2.3e-7. */
const exponent = (value: number) => value.toExponential(1);
/** Of matrices of test/golden/linalg. */
const conditions: Readonly<Record<string | number, string>> = {
  ...{'1e0.5': '3', '1e3': '10^3', '1e6': '10^6', '1e12': '10^12'},
  ...{deficient: 'a quarter of full rank', equal: 'all values equal', columns: 'columns over 12 decades'},
};

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

const codecNames: Readonly<Record<string, string>> = {
  ...{
    int8: '8 bits',
    int6: '6 bits',
    int5: '5 bits',
    int4: '4 bits',
    int3: '3 bits',
    int2: '2 bits',
    int8PerToken: '8 bits, keys per token',
  },
  lowRank: 'rank dim / 4',
  lowRankValues: 'rank dim / 4, values only',
  lowRankRotated: 'rank dim / 4, keys rotated while read',
  lowRankInt8: 'rank dim / 4, 8-bit latents',
  'lloydMax2.5': 'Lloyd-Max codes, 2.5 bits',
  'lloydMax4.4': 'Lloyd-Max codes, 4.4 bits',
  'lloydMax2.5Mean': 'Lloyd-Max codes, 2.5 bits, rotated mean',
};
const codec = (figure: Figure) => codecNames[text('codec')(figure)] ?? text('codec')(figure);

const at8192 =
  (cell: (figure: Figure) => string) =>
  (figure: Figure): string =>
    figure['tokens'] === 8192 ? cell(figure) : '-';

/** Stored bytes of one depth. The bench tells the time and the bandwidth that they are read with. */
const megabytes = (figure: Figure): string => {
  const {gigabytesPerSecond, ms: time} = figure;
  const known = figure['megabytes'] !== undefined || gigabytesPerSecond === undefined;
  return known ? number('megabytes', short)(figure) : short(Number(gigabytesPerSecond) * Number(time));
};

const decode = (shape: string): Table => ({
  ...{what: 'decode', subject: shape},
  cells: figures =>
    pivot(
      figures.filter(figure => figure['op'] !== 'read'),
      {
        ...{rows: [['milliseconds', codec]], across: tokens, cell: ms},
        more: [
          ['x dense at 8,192', at8192(number('timesDense', digits(2)))],
          ['x plain tfjs at 8,192', at8192(number('timesPlainTfjs', digits(1)))],
          ['MB per depth at 8,192', at8192(megabytes)],
        ],
      },
    ),
});

const engines: Readonly<Record<string, string>> = {wasm: 'eigenkv, wasm', wllama: 'wllama, wasm'};
const caches: Readonly<Record<string, string>> = {
  ...{full: '`full`, float32', int8: '`quantized`, 8 bits', int4: '`quantized`, 4 bits'},
  ...{lowRank: '`onlineSvd`, rank 32', inPlace: 'float32, in place', copied: 'float32, copied'},
  ...{'int8 inPlace': '8 bits, in place', 'int8 copied': '8 bits, copied'},
  ...{'int4 inPlace': '4 bits, in place', 'int4 copied': '4 bits, copied'},
};

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

/** The same on one thread and on several, in turns: see bench/threads.ts. */
function threadsOf(subject: string): Table {
  return {
    ...{what: 'threads', subject},
    cells: figures =>
      list(figures, [
        ['what', text('name')],
        ['1 thread, ms', milliseconds('one')],
        ['2 threads, ms', milliseconds('many')],
        ['times as fast', number('ratio', digits(2))],
      ]),
  };
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

/** Every table that a page holds between its markers, by its name there. */
export const tables: Readonly<Record<string, Table>> = {
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
  keepers_shakespeare: keepersOf(`${smollm2}, 2,048 tokens of tinyshakespeare.txt`),
  prompts_wikitext: keepersOf(`${smollm2}, 6 prompts of 2,048 tokens of wikitext2-test.txt`, 'prompts'),
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
  loading: {
    ...{what: 'loading', subject: smollm2},
    cells: figures =>
      list(figures, [
        ['', text('figure')],
        ['measured', text('value')],
        ['beside it', text('baseline')],
      ]),
  },
  models_in_memory: {
    ...{what: 'loading', subject: 'Models on wasm'},
    cells: figures =>
      list(figures, [
        ['model', text('model')],
        ['weights', code('weights')],
        ['file (MB)', number('fileMegabytes', count)],
        ['weights (MB)', number('weightMegabytes', count)],
        ['opened in (s)', number('openSeconds', short)],
        ['resident: before', number('beforeMegabytes', count)],
        ['most while loading', number('peakLoadingMegabytes', count)],
        ['most while generating', number('peakMegabytes', count)],
        ['heap (MB)', number('heapAfterMegabytes', count)],
        ['ms per token', milliseconds('msPerToken')],
      ]),
  },
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
  latent_layers: {
    ...{what: 'eigen_decode', subject: ''},
    cells: figures =>
      list(figures, [
        ['layer', text('layer')],
        ['cache (MB)', number('megabytes', digits(2))],
        ['ms per token', number('ms', digits(2))],
        ['x dense', number('timesDense', digits(2))],
      ]),
  },
  linalg_errors: {
    ...{what: 'linalg', subject: 'Errors'},
    cells: figures =>
      pivot(
        figures.filter(({size}) => !['33 x 33', '33 x 20', '20 x 33'].includes(String(size))),
        {
          rows: [
            ['', code('op')],
            ['size', text('size')],
            ['backend', code('backend')],
          ],
          across: ({condition}) => conditions[condition!] ?? String(condition),
          cell: number('values', exponent),
          more: [
            ['`u diag(s) vt - x`', number('residual', exponent)],
            ['`vt vt^T - 1`', number('orthogonality', exponent)],
          ],
        },
      ),
  },
  linalg_times: {
    ...{what: 'linalg', subject: 'Times'},
    cells: figures =>
      pivot(figures, {
        rows: [
          ['', code('op')],
          ['size', text('size')],
        ],
        across: ({by}) => `${by} (ms)`,
        cell: ms,
      }),
  },
  decode_smollm2: decode('SmolLM2'),
  decode_llama: decode('Llama-7B'),
  threads_kernels: threadsOf("SmolLM2's shapes, 8192 tokens"),
  threads_model: threadsOf(`${smollm2}, 2 threads`),
  prefill_smollm2: {...{what: 'prefill', subject: 'SmolLM2'}, cells: prefill},
  prefill_heads: {...{what: 'prefill', subject: '8 heads'}, cells: prefill},
  append: {
    ...{what: 'append', subject: ''},
    cells: figures =>
      list(figures, [
        ['context', tokens],
        ['microseconds per token', number('ms', value => short(1000 * value))],
      ]),
  },
  peers: {
    ...{what: 'model', subject: smollm2},
    cells: figures =>
      pivot(figures, {
        rows: [
          ['engine', ({backend = ''}) => engines[backend] ?? String(backend)],
          ['weights', text('weights')],
          ['cache', figure => caches[text('codec')(figure)] ?? text('codec')(figure)],
        ],
        ...{across: tokens, cell: ms},
      }),
  },
  bookkeeping: {
    ...{what: 'bookkeeping', subject: smollm2},
    cells: figures =>
      list(figures, [
        ['policy', code('policy')],
        ['step (ms)', ms],
        ['of it attention (ms)', number('attentionMs', short)],
        ['bookkeeping', number('bookkeeping', value => percent(value, 1))],
        ['slowest step / median', number('worstToMedian', digits(1))],
      ]),
  },
  token: {
    ...{what: 'token', subject: smollm2},
    cells: figures =>
      list(figures, [
        ['part', text('part')],
        ['ms', number('ms', digits(1))],
      ]),
  },
};

function prefill(figures: readonly Figure[]): Cells {
  return list(figures, [
    ['pass', ({op}) => (op === 'backward' ? 'forward and backward' : 'forward')],
    ['prompt', tokens],
    ['ms', ms],
    ['GFLOP/s over the causal half', number('gigaflops', short)],
    ['x plain tfjs', number('timesPlainTfjs', short)],
  ]);
}
