/** A model's graph, as a `tf.LayersModel` keeps it: one node per application of a layer. */
export interface Graph<Node extends {readonly outboundLayer: object}> {
  readonly nodesByDepth: Readonly<Record<string, readonly Node[]>>;
}

/** The applications of each layer in a model's own graph: a layer may stand in other graphs too. */
export function nodesByLayer<Node extends {readonly outboundLayer: object}>({
  nodesByDepth,
}: Graph<Node>): Map<Node['outboundLayer'], Node[]> {
  const nodes = new Map<Node['outboundLayer'], Node[]>();
  for (const node of Object.values(nodesByDepth).flat()) {
    nodes.set(node.outboundLayer, [...(nodes.get(node.outboundLayer) ?? []), node]);
  }
  return nodes;
}

/** Whether this is a model of TensorFlow.js, whose graph is known. */
export function hasGraph(model: object): model is Graph<{readonly outboundLayer: object}> {
  return 'nodesByDepth' in model && typeof model.nodesByDepth === 'object' && model.nodesByDepth !== null;
}
