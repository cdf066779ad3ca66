import type * as tf from '@tensorflow/tfjs';
import {ModelError} from '../../base/errors.js';
import {type DenseAttention, attentionAdapterNames, describeAttention, isAttention} from './index.js';
import type {PlacedLayer} from '../attach/graph.js';

/** An attention layer of somebody else, as its adapter describes it. */
export type KnownAttention = DenseAttention & Required<Pick<DenseAttention, 'parts'>>;

/** An attention layer of a model; nothing is said of one that takes a cache by itself. */
export interface FoundAttention extends PlacedLayer {
  readonly attention?: KnownAttention;
}

/**
 * The attention layers in the order of the model.
 * @throws ModelError where there is none, one that no adapter knows, or something that no cache can stand in for: a layer that
 *   keeps a state of its own, attention over another input, attention that is applied twice.
 */
export function findAttention(placed: readonly PlacedLayer[]): FoundAttention[] {
  const found = placed.flatMap((place): FoundAttention | [] => {
    const {layer} = place;
    const attention = describeAttention(layer);
    if (attention !== undefined) checkReach(attention);
    if (attention?.parts !== undefined) return {...place, attention: {...attention, parts: attention.parts}};
    if ('layerShape' in layer) return place;
    if (attention === undefined) return [];
    throw new ModelError(
      `The adapter of layer "${layer.name}" (${layer.getClassName()}) does not say how the layer projects: its description has ` +
        'no "parts". docs/guides/adapters.md says what they are.',
    );
  });
  const layers = placed.map(({layer}) => layer);
  const strangers = layers.filter(layer => isAttention(layer) && !found.some(known => known.layer === layer));
  if (found.length === 0 || strangers.length > 0) {
    throw new ModelError(
      (strangers.length > 0
        ? `No adapter knows the attention layers ${listed(strangers)}.`
        : `No adapter knows an attention layer among those of the model: ${listed(layers)}.`) +
        ` There are adapters for ${attentionAdapterNames().join(', ')}; docs/guides/adapters.md shows how to write one, a screen ` +
        'long, for registerAttentionAdapter.',
    );
  }
  const stateful = layers.filter(layer => layer.stateful);
  if (stateful.length > 0) {
    throw new ModelError(
      `${listed(stateful)} keep a state from call to call, which no cache can fork, save or take back; make them with stateful: false.`,
    );
  }
  found.forEach(checkPlace);
  return found;
}

/** Adapters are plain JavaScript at times: a window of NaN tokens would be none without a word. */
function checkReach({layer, window, contextLength}: DenseAttention): void {
  for (const [name, tokens] of Object.entries({window, contextLength})) {
    if (tokens === undefined || tokens === Infinity || (Number.isInteger(tokens) && tokens >= 1)) continue;
    throw new ModelError(
      `The adapter of layer "${layer.name}" (${layer.getClassName()}) says ${name} = ${tokens}; expected a whole number of tokens, or ` +
        'Infinity.',
    );
  }
}

function checkPlace({layer, applications, nodes}: FoundAttention): void {
  if (applications !== 1) {
    throw new ModelError(
      `Attention layer "${layer.name}" (${layer.getClassName()}) is applied ${applications} times in this model; a cache keeps a ` +
        'past for each layer, and would count every token as often. Use a layer of its own for each place.',
    );
  }
  const inputs = new Set(nodes.flatMap(({inputTensors}) => inputTensors));
  if (inputs.size > 1) {
    throw new ModelError(
      `Attention layer "${layer.name}" (${layer.getClassName()}) gets ${inputs.size} inputs that differ: attention to another text, ` +
        "or a mask. Only causal attention over the layer's own input takes a cache.",
    );
  }
}

/** Names and classes, as errors show them. */
const listed = (layers: readonly tf.layers.Layer[]) =>
  layers.map(layer => `"${layer.name}" (${layer.getClassName()})`).join(', ');
