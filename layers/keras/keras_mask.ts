import * as tf from '@tensorflow/tfjs';
import {ModelError} from '../../base/errors.js';
import {makesMask, sourcesOf} from '../mask_sources.js';

/** Keras 2 and 3 pass masks on by different rules. */
export type KerasVersion = 2 | 3;

/** A layer that makes a padding mask, and what it makes it from. */
export interface PaddingSource {
  readonly layer: tf.layers.Layer;
  readonly from: tf.SymbolicTensor;
}

/** Undefined for no mask; 'outside' if only a model around this one can know. */
export type MaskSource = PaddingSource | 'outside' | undefined;

/** Attention passes on the mask of its query alone. */
export const attentionClasses: readonly string[] = ['MultiHeadAttention', 'GroupedQueryAttention'];

/**
 * Where the padding mask of an attention input comes from, as Keras passes masks on: from embeddings with `maskZero` and `Masking`,
 * through layers that support masking. In a sum Keras 2 takes the masks that are there; Keras 3 loses them if one operand has none, and
 * its `MultiHeadAttention` takes them from its inputs for all that is computed later.
 *
 * @param tensor one of the inputs of a layer.
 * @param beside the other inputs of that layer.
 * @throws ModelError if masks of different layers meet.
 */
export function kerasMask(
  tensor: tf.SymbolicTensor,
  beside: readonly tf.SymbolicTensor[],
  keras: KerasVersion,
): MaskSource {
  const known = new Map<tf.SymbolicTensor, MaskSource>();
  const maskOf = (x: tf.SymbolicTensor): MaskSource => {
    if (!known.has(x)) known.set(x, compute(x));
    return known.get(x);
  };
  const asInput = (x: tf.SymbolicTensor, others: readonly tf.SymbolicTensor[]) =>
    keras === 3 && others.some(other => other !== x && comesAfterAttentionTo(x, other))
      ? undefined
      : maskOf(x);
  const compute = (x: tf.SymbolicTensor): MaskSource => {
    const {sourceLayer: layer, inputs} = x;
    if (makesMask(layer)) return {layer, from: inputs[0]!};
    if (inputs.length === 0) return 'outside';
    if (layer instanceof tf.LayersModel) return throughModel(layer, x, keras, maskOf);
    if (attentionClasses.includes(layer.getClassName())) return asInput(inputs[0]!, inputs.slice(1));
    if (!layer.supportsMasking) return undefined;
    const masks = inputs.map(input => asInput(input, inputs));
    if (keras === 3 && masks.some(mask => mask === undefined || mask === 'outside')) {
      return masks.every(mask => mask === 'outside') ? 'outside' : undefined;
    }
    return joined(masks, layer);
  };
  return asInput(tensor, beside);
}

/** The one mask of several operands; Keras would join different ones. */
function joined(masks: readonly MaskSource[], layer: tf.layers.Layer): MaskSource {
  const known = masks.filter(mask => mask !== undefined && mask !== 'outside');
  const [first, ...others] = new Map(known.map(mask => [mask.from, mask])).values();
  if (first === undefined) return masks.find(mask => mask === 'outside');
  if (others.length === 0) return first;
  throw new ModelError(
    `Layer "${layer.name}" (${layer.getClassName()}) joins tensors with the padding masks of different layers ` +
      `(${[first, ...others].map(source => `"${source.layer.name}"`).join(', ')}), which attention behind it cannot take. Give that ` +
      'attention an attention_mask, or make one of them without mask_zero.',
  );
}

/** A model inside this one: what its output says, made from what goes into the model. */
function throughModel(
  model: tf.LayersModel,
  {inputs, outputTensorIndex = 0}: tf.SymbolicTensor,
  keras: KerasVersion,
  maskOf: (x: tf.SymbolicTensor) => MaskSource,
): MaskSource {
  const inner = kerasMask(model.outputs[outputTensorIndex]!, [], keras);
  if (inner === 'outside') return inputs.length === 1 ? maskOf(inputs[0]!) : 'outside';
  if (inner === undefined) return undefined;
  const from = inputs[model.inputs.indexOf(inner.from)];
  if (from !== undefined) return {...inner, from};
  throw new ModelError(
    `The padding mask that layer "${inner.layer.name}" makes inside the model "${model.name}" is needed outside of it, where what it ` +
      'is made from is not known. Apply that layer in the outer model.',
  );
}

/** Whether a tensor depends on an attention of Keras that `x` goes into. */
function comesAfterAttentionTo(x: tf.SymbolicTensor, tensor: tf.SymbolicTensor): boolean {
  for (const {sourceLayer, inputs} of sourcesOf(tensor)) {
    if (sourceLayer.getClassName() === 'MultiHeadAttention' && inputs.includes(x)) return true;
  }
  return false;
}
