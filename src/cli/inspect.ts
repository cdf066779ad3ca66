import {parsePolicy} from '../../cache/registry.js';
import type {ModelParts} from '../../models/load/model_parts.js';
import type {TensorFile} from '../../ops/files/tensor_file.js';
import {cacheBytesPerToken} from '../evaluate/index.js';
import {command, commonArgs, jsonArg} from './support/command.js';
import {interruptSignal} from './support/interrupt.js';
import {inspectRanks} from './support/inspect_ranks.js';
import {modelArgs, startBackend} from './support/load.js';
import {openParts} from './support/open_parts.js';
import {print, printJson} from './support/print.js';
import {tableText} from './support/table.js';
import {byteSize, count, timesSmaller} from './support/units.js';
import {UsageError} from './support/usage_error.js';

/** Shown beside float32 and float16, which are arithmetic. */
const measuredPolicies = ['quantized:bits=8', 'quantized:bits=4', 'quantized:bits=2'];

/** Enough that the exact recent tokens of a policy weigh little. */
const measuredTokens = 1024;

export const inspect = command(
  {
    meta: {
      name: 'inspect',
      description:
        'What is in a model, and how large its cache gets; weights stay on the disk unless their ranks are asked for',
    },
    args: {
      model: {
        type: 'positional',
        required: false,
        description:
          'A .gguf or .safetensors file, a folder, or a hub id. Default: the model that comes along',
      },
      backend: modelArgs.backend,
      ranks: {
        type: 'boolean',
        description: 'Ranks of weights, of keys, values and attention matrices instead; takes a minute or so',
      },
      text: {
        type: 'string',
        description: 'With --ranks: a text in UTF-8. Default: one that comes along',
        valueHint: 'FILE',
      },
      tokens: {
        type: 'string',
        description: 'With --ranks: the first so many tokens of the text. Default: 1024',
        valueHint: 'N',
      },
      out: {
        type: 'string',
        description: 'With --ranks: write ranks.json, ranks.svg and weights.svg into this folder',
        valueHint: 'FOLDER',
      },
      ...jsonArg,
      ...commonArgs,
    },
    async run({args}) {
      if (args.ranks) {
        await inspectRanks(args);
        return;
      }
      const alone = (['text', 'tokens', 'out'] as const).find(name => args[name] !== undefined);
      if (alone !== undefined) throw new UsageError(`--${alone} goes with --ranks.`);
      const parts = await openParts(args.model, interruptSignal());
      await startBackend(args.backend);
      const summary = await closing(parts.weights, () => summaryOf(parts));
      if (args.json) printJson({source: parts.source, ...summary});
      else print(summaryText(summary));
    },
  },
  [
    'eigenkv inspect',
    'eigenkv inspect SmolLM2-135M.gguf',
    'eigenkv inspect HuggingFaceTB/SmolLM2-135M --json',
    'eigenkv inspect SmolLM2-135M.gguf --ranks --out reports',
  ],
);

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
    bytesPerToken: cacheBytesPerToken(config, parsePolicy(policy), tokens),
  }));
  return {
    name,
    format: weights.format,
    config,
    parameters: [...weights.tensors.values()].reduce((sum, {shape}) => sum + valuesOf(shape), 0),
    dtypes: dtypesOf(weights),
    tokenizer: {vocabSize, ...(bosId !== undefined && {bosId}), eosIds},
    cache: [
      {storage: 'float32', bytesPerToken: float32},
      {storage: 'float16', bytesPerToken: float32 / 2},
      ...measured,
    ],
    cacheTokens: tokens,
  };
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

function summaryText({
  name,
  format,
  config,
  parameters,
  dtypes,
  tokenizer,
  cache,
  cacheTokens,
}: Summary): string {
  const {architecture, depths, dim, heads, kvHeads, headDim, hiddenDim, vocabSize, contextLength} = config;
  const facts = {
    name: `${name} (${format})`,
    architecture: `${architecture}, ${config.tiedEmbeddings ? 'tied' : 'separate'} output head`,
    parameters: count(parameters),
    depths: String(depths),
    dim: `${count(dim)}, feed-forward ${count(hiddenDim)}`,
    heads: `${heads} query heads, ${kvHeads} key and value heads, ${headDim} numbers each`,
    context: `${count(contextLength)} tokens`,
    vocabulary: `${count(vocabSize)} in the model, ${count(tokenizer.vocabSize)} in the tokenizer`,
    'ends at': tokenizer.eosIds.length === 0 ? 'no token' : `token ${tokenizer.eosIds.join(', ')}`,
  };
  const width = Math.max(...Object.keys(facts).map(key => key.length));
  const float32 = cache[0]!.bytesPerToken;
  return [
    ...Object.entries(facts).map(([key, value]) => `${key.padEnd(width)}  ${value}`),
    '',
    tableText(
      [
        {head: 'weights as', cell: row => row.dtype, align: 'left'},
        {head: 'tensors', cell: row => count(row.tensors)},
        {head: 'parameters', cell: row => count(row.parameters)},
        {head: 'size', cell: row => byteSize(row.bytes)},
      ],
      dtypes,
    ),
    tableText(
      [
        {head: 'cache as', cell: row => row.storage, align: 'left'},
        {head: 'bytes a token', cell: row => count(row.bytesPerToken)},
        {head: `${count(contextLength)} tokens`, cell: row => byteSize(row.bytesPerToken * contextLength)},
        {head: 'against float32', cell: row => timesSmaller(float32 / row.bytesPerToken)},
      ],
      cache,
    ),
    `Policies as measured at ${count(cacheTokens)} tokens, their scales and exact recent tokens included.`,
  ].join('\n');
}
