/** A model's graph as stored by `tf.LayersModel`: one node per application of a layer. */
export interface Graph<Node extends {readonly outboundLayer: object}> {
  readonly nodesByDepth: Readonly<Record<string, readonly Node[]>>;
}

/** Returns the applications of each layer within this model's graph. A layer may be part of other graphs, too. */
export function nodesByLayer<Node extends {readonly outboundLayer: object}>({
  nodesByDepth,
}: Graph<Node>): Map<Node['outboundLayer'], Node[]> {
  const nodes = new Map<Node['outboundLayer'], Node[]>();
  for (const node of Object.values(nodesByDepth).flat()) {
    nodes.set(node.outboundLayer, [...(nodes.get(node.outboundLayer) ?? []), node]);
  }
  return nodes;
}

/** Whether this is a TensorFlow.js model with a graph. */
export function hasGraph(model: object): model is Graph<{readonly outboundLayer: object}> {
  return 'nodesByDepth' in model && typeof model.nodesByDepth === 'object' && model.nodesByDepth !== null;
}
