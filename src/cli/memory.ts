import type {ModelConfig} from '../../models/architectures/parts/model_config.js';
import {columns, number, text, wholeNumber, withDefault} from './support/arguments.js';
import {command} from './support/command.js';
import {interruptSignal} from './support/interrupt.js';
import {print, printJson, printProse} from './support/print.js';
import {type NamedColumns, columnsOf, tableText} from '../report/table.js';
import {type Windowed, tokensOfDepths} from '../evaluate/held_tokens.js';
import {byteSize, counted, short, timesSmaller} from '../../base/units.js';
import {UsageError} from './support/usage_error.js';

/** Numbers and texts of a cache. */
interface CacheShape extends Windowed {
  readonly kvHeads: number;
  readonly dim: number;
  readonly tokens: number;
  readonly batch: number;
}

/** Number formats. Scales and zero points of integers are not included; `eigenkv inspect` counts them. */
const dtypes = [
  {dtype: 'float32', bytes: 4},
  {dtype: 'float16', bytes: 2},
  {dtype: 'int8, float8', bytes: 1},
  {dtype: 'int4', bytes: 0.5},
  {dtype: 'int2', bytes: 0.25},
];

const columnNames = ['dtype', 'bytes', 'size', 'float32'] as const;

export const memory = command({
  name: 'memory',
  description: 'Compute the size of the cache of any Transformer',
  args: {
    depths: wholeNumber('Attention layers'),
    kvHeads: wholeNumber('Key and value heads per layer'),
    dim: wholeNumber('Numbers per head'),
    tokens: wholeNumber('Tokens in the cache (with --model: its context)'),
    bytes: withDefault(
      number('Bytes per number: 2 is float16', 'bytes per number: 4, 2, 1, 0.5', x => x > 0 && x <= 16, 'N'),
      '2',
    ),
    batch: withDefault(wholeNumber('Texts in a batch'), '1'),
    model: text('Take the shape of this model', 'MODEL'),
    columns: columns(columnNames),
  },
  examples: [
    'eigenkv memory --depths 32 --kv-heads 32 --dim 128 --tokens 4096    # LLaMA-7B: 2 GiB',
    'eigenkv memory --model small.gguf --tokens 8192',
  ],
  async run({bytes, json, columns: chosen, ...args}) {
    const shape = await shapeOf(args);
    const total = cacheBytes(shape, bytes);
    const rows = dtypes.map(({dtype, bytes}) => ({dtype, bytes: cacheBytes(shape, bytes)}));
    if (json) {
      const bytesPerToken = total / shape.tokens;
      printJson({...shape, bytesPerNumber: bytes, bytes: total, bytesPerToken, dtypes: rows});
      return;
    }
    printProse(sentenceOf(shape, bytes, total));
    print('');
    const float32 = rows[0]!.bytes;
    const shown: NamedColumns<(typeof columnNames)[number], DtypeRow> = {
      dtype: {head: 'numbers as', cell: row => row.dtype, align: 'left'},
      bytes: {head: 'bytes/token', cell: row => short(row.bytes / shape.tokens)},
      size: {head: counted(shape.tokens, 'token'), cell: row => byteSize(row.bytes)},
      float32: {head: 'than float32', cell: row => timesSmaller(float32 / row.bytes)},
    };
    print(tableText(columnsOf(columnNames, shown), rows, {chosen}));
  },
});

type DtypeRow = (typeof dtypes)[number];

/** The product as text, factor by factor. */
function sentenceOf(shape: CacheShape, bytes: number, total: number): string {
  const {depths, kvHeads, dim, tokens, batch} = shape;
  const held = tokensOfDepths(shape, tokens);
  const isWhole = held === depths * tokens;
  const factors = [
    '2 (keys, values)',
    ...(isWhole ? [counted(depths, 'depth')] : []),
    counted(kvHeads, 'KV head'),
    counted(dim, 'number'),
    isWhole ? counted(tokens, 'token') : `${counted(held, 'token')} of all depths within their windows`,
    ...(batch === 1 ? [] : [counted(batch, 'text')]),
    `${bytes} ${bytes === 1 ? 'byte' : 'bytes'}`,
  ];
  return `${factors.join(' x ')} = ${byteSize(total)}`;
}

/** How many numbers the keys and values of all depths, heads, tokens and texts have. */
function cacheBytes(shape: CacheShape, bytes: number): number {
  const {kvHeads, dim, tokens, batch} = shape;
  return 2 * kvHeads * dim * tokensOfDepths(shape, tokens) * batch * bytes;
}

/** The shape given by options; missing values come from the model. */
async function shapeOf({
  model,
  batch,
  ...given
}: Partial<CacheShape> & {model?: string; batch: number}): Promise<CacheShape> {
  const config: (ModelConfig & Windowed) | undefined =
    model === undefined ? undefined : await configOf(model);
  const depths = given.depths ?? config?.depths;
  const kvHeads = given.kvHeads ?? config?.kvHeads;
  const dim = given.dim ?? config?.headDim;
  const tokens = given.tokens ?? config?.contextLength;
  if (depths !== undefined && kvHeads !== undefined && dim !== undefined && tokens !== undefined) {
    return {depths, kvHeads, dim, tokens, batch, window: config?.window, windowed: config?.windowed};
  }
  const names = Object.entries({depths, 'kv-heads': kvHeads, dim, tokens}).flatMap(([name, value]) =>
    value === undefined ? [`--${name}`] : [],
  );
  throw new UsageError(
    `${names.join(', ')} missing; give ${names.length === 1 ? 'it' : 'them'}, or --model.`,
  );
}

/** Imported only with --model, so that the arithmetic alone does not load TensorFlow.js. */
async function configOf(model: string): Promise<ModelConfig> {
  const {openParts} = await import('./support/load.js');
  const {config, weights} = await openParts(model, interruptSignal());
  await weights.close();
  return config;
}
