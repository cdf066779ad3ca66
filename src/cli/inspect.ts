import type {Policy} from '../../cache/contract.js';
import {asPolicy} from '../../cache/policies/as_policy.js';
import {ModelError} from '../../base/errors.js';
import {checkedWeights} from '../../models/formats/check_weights.js';
import {type SettingMemory, memoryTable, wasmBytes} from '../../models/formats/memory.js';
import type {ModelParts} from '../../models/formats/model_parts.js';
import {type WeightSetting, defaultSetting} from '../../models/formats/weight_formats.js';
import type {TensorFile} from '../../base/files/tensor_file.js';
import {tokensOfDepths, windowAt} from '../evaluate/held_tokens.js';
import {type CachedShape, cacheBytes} from '../evaluate/index.js';
import {columns, flag, readColumns, text, wholeNumber, word} from './support/arguments.js';
import {command} from './support/command.js';
import {interruptSignal} from './support/interrupt.js';
import {inspectRanks} from './support/inspect_ranks.js';
import {modelArgs, openParts, startBackend} from './support/load.js';
import {print, printJson} from './support/print.js';
import {rankColumnNames} from '../report/rank_tables.js';
import {type NamedColumns, columnsOf, tableText} from '../report/table.js';
import {outputWidth} from '../report/terminal.js';
import {byteSize, count, counted, timesSmaller} from '../../base/units.js';
import {textArg} from './support/text_args.js';
import {UsageError} from './support/usage_error.js';
import {hanging, wrappedText} from '../report/wrap.js';

const weightColumnNames = ['dtype', 'tensors', 'parameters', 'size'] as const;
const cacheColumnNames = ['storage', 'bytes', 'context', 'float32'] as const;
const memoryColumnNames = ['setting', 'wasm', 'webgpu', 'others'] as const;
const columnNames = [...weightColumnNames, ...memoryColumnNames, ...cacheColumnNames];

/** Policies whose size is measured; those of float32 and float16 are computed. */
const measuredPolicies = ['quantized:bits=8', 'quantized:bits=4', 'quantized:bits=3'];

/** Context at which policies are measured: long enough that exact recent tokens hardly matter. */
const measuredTokens = 1024;

export const inspect = command({
  name: 'inspect',
  description:
    'Show the contents of a model, what it takes in memory and the size of its cache; weights are loaded only with --ranks',
  args: {
    path: word('The model, as for --model'),
    ...modelArgs,
    ranks: flag(
      'Show ranks of weights, keys, values and attention matrices instead; loads the weights and takes a minute or so',
    ),
    weights: {...modelArgs.weights, description: `With --ranks: ${modelArgs.weights.description}`},
    activations: {
      ...modelArgs.activations,
      description: `With --ranks: ${modelArgs.activations.description}`,
    },
    text: {...textArg, description: `With --ranks: ${textArg.description}`},
    tokens: wholeNumber('With --ranks: use only this many tokens at the start of the text. Default: 1024'),
    out: text('With --ranks: write ranks.json, ranks.svg and weights.svg into this folder', 'FOLDER'),
    columns: {
      ...columns(columnNames, `With --ranks: ${rankColumnNames.join(', ')}. `),
      read: (values: readonly string[]) => values, // the names depend on --ranks
    },
  },
  examples: [
    'eigenkv inspect',
    'eigenkv inspect SmolLM2-135M.gguf',
    'eigenkv inspect HuggingFaceTB/SmolLM2-135M --json',
    'eigenkv inspect SmolLM2-135M.gguf --ranks --out reports',
  ],
  async run({path, ranks, ...args}) {
    if (path !== undefined && args.model !== undefined) {
      throw new UsageError(`"${path}" and --model "${args.model}" are two models; give only one of them.`);
    }
    const model = path ?? args.model;
    const chosen = readColumns(args.columns, ranks ? rankColumnNames : columnNames);
    if (ranks) {
      await inspectRanks({...args, model, chosen});
      return;
    }
    const alone = (['text', 'tokens', 'out', 'weights', 'activations'] as const).find(
      name => args[name] !== undefined,
    );
    if (alone !== undefined) {
      const hint = alone === 'weights' ? ' Without it, what each setting takes in memory is shown.' : '';
      throw new UsageError(`--${alone} needs --ranks.${hint}`);
    }
    const parts = await openParts(model, interruptSignal());
    await startBackend(args);
    const summary = await closing(parts.weights, () => summaryOf(parts));
    if (args.json) printJson({source: parts.source, ...summary});
    else print(summaryText(summary, chosen));
  },
});

async function closing<Result>(file: TensorFile, run: () => Result): Promise<Result> {
  try {
    return run();
  } finally {
    await file.close();
  }
}

type Summary = ReturnType<typeof summaryOf>;

function summaryOf({name, config, tokenizer, weights}: ModelParts) {
  const {contextLength, depths, kvHeads, headDim} = config;
  const {vocabSize, bosId, eosIds} = tokenizer;
  const tokens = Math.min(measuredTokens, contextLength);
  const float32 = 2 * depths * kvHeads * headDim * 4;
  const measured = measuredPolicies.map(policy => ({
    storage: policy,
    bytesPerToken: bytesOfAllDepths(config, asPolicy(policy), tokens) / tokens,
  }));
  const held = tokensOfDepths(config, contextLength) / depths; // on average
  const rows = [
    {storage: 'float32', bytesPerToken: float32},
    {storage: 'float16', bytesPerToken: float32 / 2},
    ...measured,
  ];
  return {
    name,
    format: weights.format,
    config,
    parameters: [...weights.tensors.values()].reduce((sum, {shape}) => sum + valuesOf(shape), 0),
    dtypes: dtypesOf(weights),
    weightsDefault: defaultSetting(weights),
    ...memoryOf({config, weights}),
    tokenizer: {vocabSize, bosId, eosIds},
    cache: rows.map(row => ({...row, contextBytes: row.bytesPerToken * held})),
    cacheTokens: tokens,
  };
}

/** Bytes of the weights with each setting; or why no model can be made of these files. */
function memoryOf({config, weights}: Pick<ModelParts, 'config' | 'weights'>): {
  readonly memory?: readonly SettingMemory[];
  readonly contradiction?: string;
} {
  try {
    const stored = checkedWeights(weights, config, () => undefined);
    return {memory: memoryTable(stored, weights)};
  } catch (error) {
    if (error instanceof ModelError) return {contradiction: error.message};
    throw error;
  }
}

function dtypesOf({
  tensors,
}: TensorFile): {dtype: string; tensors: number; parameters: number; bytes: number}[] {
  const dtypes = new Map<string, {tensors: number; parameters: number; bytes: number}>();
  for (const {dtype, shape, byteLength} of tensors.values()) {
    const so = dtypes.get(dtype) ?? {tensors: 0, parameters: 0, bytes: 0};
    dtypes.set(dtype, {
      tensors: so.tensors + 1,
      parameters: so.parameters + valuesOf(shape),
      bytes: so.bytes + byteLength,
    });
  }
  return [...dtypes].map(([dtype, sums]) => ({dtype, ...sums})).sort((a, b) => b.bytes - a.bytes);
}

const valuesOf = (shape: readonly number[]) => shape.reduce((product, axis) => product * axis, 1);

/** All depths store a token alike, so one without a window is measured; bytes that depths share are counted once. */
function bytesOfAllDepths(shape: CachedShape, policy: Policy, tokens: number): number {
  const {byteSize, sharedBytes} = cacheBytes({...shape, depths: 1, window: undefined}, policy, tokens);
  return shape.depths * (byteSize - sharedBytes) + sharedBytes;
}

function summaryText(summary: Summary, chosen: readonly string[] | undefined): string {
  const {config, dtypes, cache, cacheTokens, memory, contradiction} = summary;
  const width = outputWidth();
  const float32 = cache[0]!.bytesPerToken;
  const weights: NamedColumns<(typeof weightColumnNames)[number], Summary['dtypes'][number]> = {
    dtype: {head: 'weights as', cell: row => row.dtype, align: 'left'},
    tensors: {head: 'tensors', cell: row => count(row.tensors)},
    parameters: {head: 'parameters', cell: row => count(row.parameters)},
    size: {head: 'size', cell: row => byteSize(row.bytes)},
  };
  const memories: NamedColumns<(typeof memoryColumnNames)[number], SettingMemory> = {
    setting: {head: 'in memory', cell: row => settingText(row.weights, summary), align: 'left'},
    wasm: {
      head: 'wasm',
      cell: ({wasm}) => (wasm <= wasmBytes ? byteSize(wasm) : `${byteSize(wasm)}, too large`),
    },
    webgpu: {head: 'webgpu', cell: row => byteSize(row.webgpu)},
    others: {head: 'cpu, tensorflow', cell: row => byteSize(row.others)},
  };
  const caches: NamedColumns<(typeof cacheColumnNames)[number], Summary['cache'][number]> = {
    storage: {head: 'cache as', cell: row => row.storage, align: 'left'},
    bytes: {head: 'bytes/token', cell: row => count(row.bytesPerToken)},
    context: {
      head: counted(config.contextLength, 'token'),
      cell: row => byteSize(row.contextBytes),
    },
    float32: {head: 'than float32', cell: row => timesSmaller(float32 / row.bytesPerToken)},
  };
  const facts = Object.entries(factsOf(summary));
  const indent = Math.max(...facts.map(([key]) => key.length)) + 2;
  return [
    facts.flatMap(([key, value]) => hanging(key, value, {width, indent})).join('\n'),
    tableText(columnsOf(weightColumnNames, weights), dtypes, {chosen}),
    memory === undefined
      ? wrappedText(`These files do not make a model. ${contradiction ?? ''}`, width)
      : tableText(columnsOf(memoryColumnNames, memories), memory, {chosen}),
    tableText(columnsOf(cacheColumnNames, caches), cache, {chosen}),
    wrappedText(
      `Policies are measured at ${counted(cacheTokens, 'token')}, with their scales and exact recent tokens.`,
      width,
    ),
  ]
    .filter(part => part !== '')
    .join('\n\n');
}

/** What depths with a window see of a context. */
function windowText(shape: CachedShape): string {
  const {depths, window} = shape;
  if (window === undefined) return '';
  const windowed = Array.from({length: depths}, (_, depth) => windowAt(shape, depth)).filter(
    of => of !== undefined,
  );
  return `, a window of ${counted(window, 'token')} at ${windowed.length === depths ? 'all' : windowed.length} of ${counted(depths, 'depth')}`;
}

const settingText = (setting: WeightSetting, {weightsDefault}: Summary) =>
  setting === weightsDefault ? `${setting} (default)` : setting;

function factsOf({name, format, config, parameters, tokenizer}: Summary): Readonly<Record<string, string>> {
  const {architecture, depths, dim, heads, kvHeads, headDim, hiddenDim, vocabSize, contextLength} = config;
  const {eosIds} = tokenizer;
  return {
    name: `${name} (${format})`,
    architecture: `${architecture}, ${config.tiedEmbeddings ? 'tied' : 'separate'} output head`,
    parameters: count(parameters),
    depths: String(depths),
    dim: `${count(dim)}, feed-forward ${count(hiddenDim)}`,
    heads: `${counted(heads, 'query head')}, ${counted(kvHeads, 'key and value head')}, ${counted(headDim, 'number')} each`,
    context: counted(contextLength, 'token') + windowText(config),
    vocabulary: `${count(vocabSize)} in the model, ${count(tokenizer.vocabSize)} in the tokenizer`,
    'ends at':
      eosIds.length === 0 ? 'no token' : `${eosIds.length === 1 ? 'token' : 'tokens'} ${eosIds.join(', ')}`,
  };
}
