import {type StoredWeight, isKernel, storedAs} from './architecture.js';
import {attentionSizes, hasOutputBias} from './attention.js';
import type {ModelConfig} from './model_config.js';
import type {TensorNames} from './tensor_names.js';

/** How a kind of files lays out the tensors of a decoder. */
export interface TensorLayout {
  /** Whether the matrices of blocks are `[inputs, outputs]`, as GPT-2's on the hub. Default false: `[outputs, inputs]`. */
  readonly inputsFirst?: boolean;
  /** Whether the pairs of queries and keys that rotate are neighbours: see `StoredWeight.interleavedHeads`. Default false. */
  readonly interleaved?: boolean;
  /** Whether fused queries, keys and values come head by head: see `StoredWeight.headwise`. Default false. */
  readonly headwise?: boolean;
  /** What is added to the gains of norms: see `StoredWeight.added`. Default 0. */
  readonly addedToGains?: number;
}

/** A part of a tensor: one variable of the model, in the layout of its layer. */
interface Part {
  readonly tensor: string;
  readonly variable: string;
  readonly shape: readonly number[];
}

/** The tensors of a file that fill a decoder of this config, and the variables that each one fills. */
export function decoderTensors(
  config: ModelConfig,
  names: TensorNames,
  layout: TensorLayout = {},
): StoredWeight[] {
  const fused = new Map<string, Part[]>();
  for (const part of partsOf(config, names)) {
    fused.set(part.tensor, [...(fused.get(part.tensor) ?? []), part]);
  }
  return [...fused].map(([tensor, parts]) => stored(tensor, parts, config, layout));
}

function stored(
  tensor: string,
  parts: readonly Part[],
  {heads, kvHeads}: ModelConfig,
  {inputsFirst = false, interleaved = false, headwise = false, addedToGains = 0}: TensorLayout,
): StoredWeight {
  const [{variable, shape}] = parts as [Part];
  const outputs = parts.reduce((sum, part) => sum + part.shape.at(-1)!, 0);
  const variables = parts.map(part => part.variable);
  const names = {variables, hub: tensor, gguf: tensor, shape: [...shape.slice(0, -1), outputs]};
  const isHead = variable === 'output/kernel';
  const weight = storedAs(tensor, names, isKernel(names) && (isHead || !inputsFirst));
  const rotated = /\/(query|key)_(kernel|bias)$/.exec(variable)?.[1];
  return {
    ...weight,
    ...(interleaved && rotated && {interleavedHeads: rotated === 'query' ? heads : kvHeads}),
    ...(headwise && parts.length > 1 && {headwise: heads}),
    ...(addedToGains !== 0 && /\/(gain|query_norm|key_norm)$/.test(variable) && {added: addedToGains}),
  };
}

function* partsOf(config: ModelConfig, names: TensorNames): Generator<Part> {
  const {vocabSize, contextLength, depths, dim, tiedEmbeddings, firstPosition, biases} = config;
  const weight = (tensor: string, variable: string, ...shape: number[]): Part => ({
    ...{tensor: `${tensor}.weight`, variable, shape},
  });
  yield weight(names.embedding, 'embedding/embeddings', vocabSize, dim);
  if (firstPosition !== undefined) {
    yield weight(names.positions, 'positions/positions', firstPosition + contextLength, dim);
  }
  if (config.embeddingNorm === true) yield* normParts(config, names.embeddingNorm, 'embedding_norm');
  for (let depth = 0; depth < depths; depth++) yield* blockParts(config, names, depth);
  yield* normParts(config, names.finalNorm, 'final_norm');
  if (tiedEmbeddings) return;
  yield weight(names.head, 'output/kernel', dim, vocabSize);
  if (biases.head === true) yield {tensor: `${names.head}.bias`, variable: 'output/bias', shape: [vocabSize]};
}

function normParts({norm, dim}: ModelConfig, tensor: string, layer: string): Part[] {
  const weight = {tensor: `${tensor}.weight`, shape: [dim]};
  if (norm !== 'layer') return [{...weight, variable: `${layer}/gain`}];
  return [
    {...weight, variable: `${layer}/gamma`},
    {tensor: `${tensor}.bias`, variable: `${layer}/beta`, shape: [dim]},
  ];
}

function* blockParts(config: ModelConfig, names: TensorNames, depth: number): Generator<Part> {
  const {dim, hiddenDim, biases, gated = true, normPlace = 'before', parallel, qkNorm, headDim} = config;
  const prefix = names.block.replace('@', String(depth));
  const norm = (name: string, layer: string) => normParts(config, `${prefix}${name}`, `${layer}_${depth}`);
  const projection =
    (layer: string, useBias: boolean) =>
    (name: string, variable: string, inputs: number, outputs: number): Part[] => {
      const at = `${layer}_${depth}/${variable}`;
      const kernel = {
        tensor: `${prefix}${name}.weight`,
        variable: `${at}_kernel`,
        shape: [inputs, outputs],
      };
      const bias = {tensor: `${prefix}${name}.bias`, variable: `${at}_bias`, shape: [outputs]};
      return useBias ? [kernel, bias] : [kernel];
    };
  const own = (tensor: string, variable: string, shape: readonly number[]): Part => ({
    tensor: `${prefix}${tensor}`,
    variable: `attention_${depth}/${variable}`,
    shape,
  });
  const {query, key, value, joined, extra} = attentionSizes(config, depth);
  const attends = projection('attention', biases.queryKeyValue);
  const joins = projection('attention', hasOutputBias(config));
  const feeds = projection('feed_forward', biases.feedForward);
  const normsBefore = normPlace !== 'after';
  const normsAfter = normPlace !== 'before';

  if (normsBefore) yield* norm(names.attentionNorm, 'attention_norm');
  yield* attends(names.query, 'query', dim, query);
  yield* attends(names.key, 'key', dim, key);
  yield* attends(names.value, 'value', dim, value);
  if (qkNorm !== undefined) {
    const gains = (outputs: number) => (qkNorm === 'head' ? headDim : outputs);
    yield own(`${names.queryNorm}.weight`, 'query_norm', [gains(query)]);
    yield own(`${names.keyNorm}.weight`, 'key_norm', [gains(key)]);
  }
  yield* joins(names.attentionOutput, 'output', joined, dim);
  const folder = names.attentionOutput.replace(/[^.]*$/, '');
  for (const {variable, hub, shape} of extra) yield own(`${folder}${hub}`, variable, shape);
  if (normsAfter) yield* norm(names.attentionPostNorm, 'attention_post_norm');
  if (normsBefore && parallel !== 'sharedNorm') yield* norm(names.feedForwardNorm, 'feed_forward_norm');
  if (gated) yield* feeds(names.gate, 'gate', dim, hiddenDim);
  yield* feeds(names.up, 'up', dim, hiddenDim);
  yield* feeds(names.down, 'down', hiddenDim, dim);
  if (normsAfter) yield* norm(names.feedForwardPostNorm, 'feed_forward_post_norm');
}
