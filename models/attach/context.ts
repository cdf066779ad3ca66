import type {AttentionCache} from '../../cache/attention_cache.js';
import {membersOf} from '../../cache/binding/members.js';
import * as tf from '@tensorflow/tfjs';
import {PositionEmbedding, TokenEmbedding} from '../../layers/index.js';
import {ContextLengthError} from '../../base/errors.js';
import {type PlacedLayer, describeAttention, placedLayers} from '../adapters/index.js';
import type {GraphNode} from '../adapters/graph.js';
import {positionAdapterOf} from './position_adapters.js';
import {namedContext} from './settings.js';

/** How many tokens a model takes; Infinity if nothing limits it. */
export interface ModelContext {
  /** Rows of its position tables; longer texts have no positions. */
  readonly tables: number;
  /** The same, and what its attention was made for, which a cache may go beyond (`beyondContext`). */
  readonly tokens: number;
}

/** How many tokens a model takes, by its layers: ours, those that an adapter knows, embeddings of positions. */
export function contextOf(model: tf.LayersModel): ModelContext {
  const placed = placedLayers(model);
  const tables = least(placed.map(tableOf));
  return {
    tables,
    tokens: Math.min(
      tables,
      least(placed.flatMap(({layer}) => [layer, ...membersOf(layer)]).map(attentionContext)),
    ),
  };
}

/** @throws ContextLengthError if `tokens` more exceed the context of a model, with a cache or without one. */
export function checkContext(
  {tables, tokens: most}: ModelContext,
  tokens: number,
  cache: AttentionCache | undefined,
): void {
  const past = cache?.tokens ?? 0;
  const limit = cache === undefined || cache.beyondContext === true ? tables : most;
  if (past + tokens <= limit) return;
  const given = past === 0 ? `${tokens} tokens` : `${tokens} after the ${past} in the cache`;
  throw new ContextLengthError(
    `The model's context is ${limit} tokens; ${given} were given. Shorten the text or start a new cache.`,
  );
}

const least = (numbers: readonly (number | undefined)[]) =>
  numbers.reduce<number>((smallest, number) => Math.min(smallest, number ?? Infinity), Infinity);

function attentionContext(layer: tf.layers.Layer): number | undefined {
  if (layer instanceof TokenEmbedding) return layer.getConfig()['contextLength'] as number | undefined;
  const attention = describeAttention(layer);
  return attention && (attention.contextLength ?? namedContext(layer));
}

/** The rows of a layer's position table; undefined if it has none. */
function tableOf({layer, nodes}: PlacedLayer): number | undefined {
  if (layer instanceof PositionEmbedding) return layer.getConfig()['maxPositions'] as number;
  if (layer.getClassName() === 'Embedding') {
    return nodes.some(isFedByPositions) ? (layer.getConfig()['inputDim'] as number) : undefined;
  }
  const adapter = positionAdapterOf(layer);
  return adapter && (adapter.tokens?.(layer) ?? rowsOfTable(layer, nodes));
}

/** Whether what goes in are positions that another layer made, rather than ids. */
function isFedByPositions({inboundLayers}: GraphNode): boolean {
  const [source, ...others] = inboundLayers;
  if (source === undefined || others.length > 0) return false;
  return positionAdapterOf(source) !== undefined || source.inboundNodes.some(isFedByPositions);
}

/**
 * The rows of a table `[positions, dim]` among a layer's weights, its tensors and the weights of layers inside it: the one that
 * is called after positions; else what the layer's config says; else the only one whose rows are as long as the layer's output.
 */
function rowsOfTable(layer: tf.layers.Layer, nodes: readonly GraphNode[]): number | undefined {
  const tables = tablesIn(layer);
  const named = tables.filter(({name}) => /pos/i.test(name));
  if (named.length > 0) return least(named.map(({rows}) => rows));
  const said = namedContext(layer);
  if (said !== undefined) return said;
  const width = (shape: unknown) => (Array.isArray(shape) ? (shape.at(-1) as unknown) : undefined);
  const [input, output] = [width(nodes[0]?.inputShapes[0]), width(nodes[0]?.outputShapes[0])];
  const fitting = tables.filter(({rows, dim}) => dim === output && rows !== input); // else it may be a projection
  return fitting.length === 1 ? fitting[0]!.rows : undefined;
}

interface NamedTable {
  readonly name: string;
  readonly rows: number;
  readonly dim: number;
}

function tablesIn(layer: tf.layers.Layer): NamedTable[] {
  const ownName = new RegExp(`^${layer.name.replace(/\W/g, '.')}/`); // it may hold "pos" itself
  const ofWeights = layer.weights.flatMap(({originalName, shape}) =>
    tableOfShape(originalName.replace(ownName, ''), shape),
  );
  const ofFields = Object.entries(layer).flatMap(([name, value]: [string, unknown]) => {
    if (isTensor(value)) return tableOfShape(name, value.shape);
    if (!(value instanceof tf.layers.Layer)) return [];
    return value.weights.flatMap(({shape}) => tableOfShape(name, shape));
  });
  return [...ofWeights, ...ofFields];
}

const isTensor = (value: unknown): value is tf.Tensor => value instanceof tf.Tensor;

/** Leading axes of one are no part of a table. */
function tableOfShape(name: string, shape: readonly (number | null)[]): NamedTable | [] {
  const [rows, dim, ...more] = shape.slice(shape.findIndex(size => size !== 1));
  return typeof rows === 'number' && typeof dim === 'number' && more.length === 0 ? {name, rows, dim} : [];
}
