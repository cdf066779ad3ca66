import * as tf from '@tensorflow/tfjs';
import type {CallArgs} from '../../layers/layer_args.js';
import {ModelError} from '../../base/errors.js';
import {type GraphNode, isInput, nodesInOrder} from '../adapters/graph.js';

/** A part of a model between two places in its graph through which everything goes. */
export interface Segment {
  /** Computes the tensor at its end from the tensor at its start. */
  run(x: tf.Tensor, kwargs?: CallArgs): tf.Tensor;
}

/**
 * A model of one input and one output, cut wherever a single tensor carries all that later layers need: for a decoder, before and after
 * the attention and the feed-forward part of each block. Run one after the other, the segments compute what the model does.
 *
 * @throws ModelError if the model has several inputs or outputs.
 */
export function segmentsOf(model: tf.LayersModel): Segment[] {
  const [input, ...inputs] = model.inputs;
  const [output, ...outputs] = model.outputs;
  if (input === undefined || output === undefined || inputs.length + outputs.length > 0) {
    throw new ModelError(
      `This model has ${model.inputs.length} inputs and ${model.outputs.length} outputs; gradients need one of each.`,
    );
  }
  const nodes = nodesInOrder(model).filter(({outboundLayer}) => !isInput(outboundLayer));
  const lastUse = new Map<tf.SymbolicTensor, number>([[output, Infinity]]);
  nodes.forEach(({inputTensors}, at) => {
    for (const x of inputTensors) if (lastUse.get(x) !== Infinity) lastUse.set(x, at);
  });
  const segments: Segment[] = [];
  const carried = new Set([input]);
  let [start, first] = [input, 0];
  nodes.forEach(({outputTensors}, at) => {
    for (const x of outputTensors) carried.add(x);
    for (const x of carried) if ((lastUse.get(x) ?? -1) <= at) carried.delete(x);
    const [end, ...others] = carried;
    if (end === undefined || others.length > 0) return;
    segments.push(segmentOf(nodes.slice(first, at + 1), start, end));
    [start, first] = [end, at + 1];
  });
  return segments;
}

function segmentOf(nodes: readonly GraphNode[], start: tf.SymbolicTensor, end: tf.SymbolicTensor): Segment {
  return {
    run: (x, kwargs = {}) =>
      tf.tidy(() => {
        const values = new Map([[start, x]]);
        for (const {outboundLayer, inputTensors, outputTensors} of nodes) {
          const inputs = inputTensors.map(of => values.get(of)!);
          const outputs = [outboundLayer.apply(inputs.length === 1 ? inputs[0]! : inputs, kwargs)].flat();
          outputTensors.forEach((of, i) => values.set(of, outputs[i] as tf.Tensor));
        }
        return values.get(end)!;
      }),
  };
}
