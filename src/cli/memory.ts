import type {ModelConfig} from '../../models/architectures/parts/model_config.js';
import {wholeNumber} from './support/arguments.js';
import {columnsArg, readColumns} from './support/columns_arg.js';
import {command, commonArgs, jsonArg} from './support/command.js';
import {interruptSignal} from './support/interrupt.js';
import {print, printJson, printProse} from './support/print.js';
import {type NamedColumns, columnsOf, tableText} from '../report/table.js';
import {byteSize, counted, short, timesSmaller} from '../../base/units.js';
import {UsageError} from './support/usage_error.js';

/** What a cache holds: its shape, without the bytes of a number. */
interface CacheShape {
  readonly depths: number;
  readonly kvHeads: number;
  readonly dim: number;
  readonly tokens: number;
  readonly batch: number;
}

/** Bare numbers; scales and zeros of groups come on top of the integers (`eigenkv inspect` counts them). */
const dtypes = [
  {dtype: 'float32', bytes: 4},
  {dtype: 'float16', bytes: 2},
  {dtype: 'int8, float8', bytes: 1},
  {dtype: 'int4', bytes: 0.5},
  {dtype: 'int2', bytes: 0.25},
];

const columnNames = ['dtype', 'bytes', 'size', 'float32'] as const;

export const memory = command(
  {
    meta: {name: 'memory', description: 'Size of the cache of any Transformer, by arithmetic'},
    args: {
      depths: {type: 'string', description: 'Attention layers', valueHint: 'N'},
      'kv-heads': {type: 'string', description: 'Key and value heads of a layer', valueHint: 'N'},
      dim: {type: 'string', description: 'Numbers of a head', valueHint: 'N'},
      tokens: {
        type: 'string',
        description: 'Tokens in the cache (with --model: its context)',
        valueHint: 'N',
      },
      bytes: {type: 'string', description: 'Bytes of a number: 2 is float16', default: '2', valueHint: 'N'},
      batch: {type: 'string', description: 'Texts at the same time', default: '1', valueHint: 'N'},
      model: {type: 'string', description: 'Take the shape of this model', valueHint: 'MODEL'},
      ...columnsArg(columnNames),
      ...jsonArg,
      ...commonArgs,
    },
    async run({args, rawArgs}) {
      const chosen = readColumns(rawArgs, columnNames);
      const bytes = bytesOfNumber(args.bytes);
      const shape = await shapeOf(args);
      const total = cacheBytes(shape, bytes);
      const rows = dtypes.map(({dtype, bytes}) => ({dtype, bytes: cacheBytes(shape, bytes)}));
      if (args.json) {
        printJson({
          ...shape,
          bytesPerNumber: bytes,
          bytes: total,
          bytesPerToken: total / shape.tokens,
          dtypes: rows,
        });
        return;
      }
      printProse(sentenceOf(shape, bytes, total));
      print('');
      const float32 = rows[0]!.bytes;
      const columns: NamedColumns<(typeof columnNames)[number], DtypeRow> = {
        dtype: {head: 'numbers as', cell: row => row.dtype, align: 'left'},
        bytes: {head: 'bytes/token', cell: row => short(row.bytes / shape.tokens)},
        size: {head: counted(shape.tokens, 'token'), cell: row => byteSize(row.bytes)},
        float32: {head: 'than float32', cell: row => timesSmaller(float32 / row.bytes)},
      };
      print(tableText(columnsOf(columnNames, columns), rows, {chosen}));
    },
  },
  [
    'eigenkv memory --depths 32 --kv-heads 32 --dim 128 --tokens 4096    # LLaMA-7B: 2 GiB',
    'eigenkv memory --model small.gguf --tokens 8192',
  ],
);

type DtypeRow = (typeof dtypes)[number];

/** The arithmetic, written out. */
function sentenceOf({depths, kvHeads, dim, tokens, batch}: CacheShape, bytes: number, total: number): string {
  const factors = [
    '2 (keys, values)',
    counted(depths, 'depth'),
    counted(kvHeads, 'KV head'),
    counted(dim, 'number'),
    counted(tokens, 'token'),
    ...(batch === 1 ? [] : [counted(batch, 'text')]),
    `${bytes} ${bytes === 1 ? 'byte' : 'bytes'}`,
  ];
  return `${factors.join(' x ')} = ${byteSize(total)}`;
}

/** Keys and values of every depth, head, token and text. */
function cacheBytes({depths, kvHeads, dim, tokens, batch}: CacheShape, bytes: number): number {
  return 2 * depths * kvHeads * dim * tokens * batch * bytes;
}

function bytesOfNumber(value: string): number {
  const bytes = Number(value);
  if (bytes > 0 && bytes <= 16) return bytes;
  throw new UsageError(`--bytes = "${value}"; expected the bytes of a number: 4, 2, 1, 0.5.`);
}

interface ShapeArgs {
  readonly depths?: string | undefined;
  readonly 'kv-heads'?: string | undefined;
  readonly dim?: string | undefined;
  readonly tokens?: string | undefined;
  readonly batch: string;
  readonly model?: string | undefined;
}

/** The shape given by options; what is missing comes from the model. */
async function shapeOf(args: ShapeArgs): Promise<CacheShape> {
  const given = {
    depths: wholeNumber(args.depths, 'depths'),
    kvHeads: wholeNumber(args['kv-heads'], 'kv-heads'),
    dim: wholeNumber(args.dim, 'dim'),
    tokens: wholeNumber(args.tokens, 'tokens'),
  };
  const batch = wholeNumber(args.batch, 'batch') ?? 1;
  const config = args.model === undefined ? undefined : await configOf(args.model);
  const shape = {
    depths: given.depths ?? config?.depths,
    kvHeads: given.kvHeads ?? config?.kvHeads,
    dim: given.dim ?? config?.headDim,
    tokens: given.tokens ?? config?.contextLength,
  };
  const {depths, kvHeads, dim, tokens} = shape;
  if (depths === undefined || kvHeads === undefined || dim === undefined || tokens === undefined) {
    const missing = {depths, 'kv-heads': kvHeads, dim, tokens};
    const names = Object.entries(missing).flatMap(([name, value]) =>
      value === undefined ? [`--${name}`] : [],
    );
    throw new UsageError(
      `${names.join(', ')} missing; give ${names.length === 1 ? 'it' : 'them'}, or --model.`,
    );
  }
  return {depths, kvHeads, dim, tokens, batch};
}

/** Only with --model: the arithmetic alone must not wait for TensorFlow.js. */
async function configOf(model: string): Promise<ModelConfig> {
  const {openParts} = await import('./support/open_parts.js');
  const {config, weights} = await openParts(model, interruptSignal());
  await weights.close();
  return config;
}
