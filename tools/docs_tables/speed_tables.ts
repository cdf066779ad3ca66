import type {Figure} from '../../bench/support/history.js';
import {count, percent, short} from '../../base/units.js';
import {type Cells, list, number, pivot, text} from './cells.js';
import {type Table, code, digits, milliseconds, ms, nats, share, smollm2, tokens} from './table.js';

// Times and memory.

const codecNames: Readonly<Record<string, string>> = {
  ...{
    int8: '8 bits',
    int6: '6 bits',
    int5: '5 bits',
    int4: '4 bits',
    int3: '3 bits',
    int2: '2 bits',
    denseSpare: 'dense, with room',
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

/** The same on one thread and on several, in turns: see bench/threads.ts. */
function threadsOf(subject: string): Table {
  return {
    ...{what: 'threads', subject, case: text('name')},
    cells: figures =>
      list(figures, [
        ['what', text('name')],
        ['1 thread, ms', milliseconds('one')],
        ['2 threads, ms', milliseconds('many')],
        ['times as fast', number('ratio', digits(2))],
      ]),
  };
}

export const speedTables: Readonly<Record<string, Table>> = {
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
  tensorflow_decode: {
    ...{what: 'tensorflow_decode', subject: 'One query'},
    case: ({shape, codec: of}) => [shape, of].join('|'),
    cells: figures =>
      list(figures, [
        ['heads', text('shape')],
        ['codec', codec],
        ['CPU ms', number('cpuMs', short)],
        ['x dense', number('timesDenseCpu', digits(2))],
        ['x dense with room', number('timesSpareCpu', digits(2))],
        ['x dense, wall', number('timesDense', digits(2))],
        ['x dense with room, wall', number('timesSpare', digits(2))],
      ]),
  },
  decode_smollm2: decode('SmolLM2'),
  decode_llama: decode('Llama-7B'),
  threads_kernels: threadsOf("SmolLM2's shapes, 8192 tokens, 2 threads"),
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
  skipping: {
    ...{what: 'skipping', subject: smollm2, case: ({tokens: many, plan}) => [many, plan].join('|')},
    cells: figures =>
      list(figures, [
        ['context', tokens],
        ['plan', code('plan')],
        ['attention of a token (ms)', number('attentionMs', digits(1))],
        ['times as fast', number('timesAsFast', digits(2))],
        ['values read', number('valuesRead', share)],
        ['KL (nats)', number('kl', nats)],
        ['same top token', number('top1', share)],
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
