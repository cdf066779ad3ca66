/** What other people's attention layers compute, and where they are in a model. */
export type {AttentionAdapter, AttentionParts, DenseAttention, DenseWeights} from './adapter.js';
export {type FoundAttention, findAttention, nameOf, takesCache} from './find_attention.js';
export {type FourDenseOptions, fourDenseAdapter} from './four_dense.js';
export {fusedQkvAdapter} from './fused_qkv.js';
export {multiHeadAdapter} from './multi_head.js';
export {type PlacedLayer, entryLayers, placedLayers} from './graph.js';
export {attentionAdapterNames, describeAttention, registerAttentionAdapter} from './registry.js';
export {type LayerCall, replaceCall} from './replace_call.js';
