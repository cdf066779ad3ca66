/**
 * What a kind of files calls the tensors of a decoder, without `.weight` and `.bias`. Names of a block come after `block`, in which `@`
 * stands for the depth. Parts that have one name are fused: that tensor holds all of them.
 */
export interface TensorNames {
  readonly embedding: string;
  readonly positions: string;
  readonly embeddingNorm: string;
  readonly block: string;
  readonly attentionNorm: string;
  readonly query: string;
  readonly key: string;
  readonly value: string;
  readonly attentionOutput: string;
  readonly queryNorm: string;
  readonly keyNorm: string;
  /** Of what comes out of attention. */
  readonly attentionPostNorm: string;
  readonly feedForwardNorm: string;
  readonly gate: string;
  readonly up: string;
  readonly down: string;
  /** Of what comes out of the feed-forward part. */
  readonly feedForwardPostNorm: string;
  readonly finalNorm: string;
  readonly head: string;
}

/** The names of most models of the hub, which Llama's were. */
export const llamaNames: TensorNames = {
  embedding: 'model.embed_tokens',
  positions: 'model.embed_positions',
  embeddingNorm: 'model.embed_norm',
  block: 'model.layers.@.',
  attentionNorm: 'input_layernorm',
  query: 'self_attn.q_proj',
  key: 'self_attn.k_proj',
  value: 'self_attn.v_proj',
  attentionOutput: 'self_attn.o_proj',
  queryNorm: 'self_attn.q_norm',
  keyNorm: 'self_attn.k_norm',
  attentionPostNorm: 'post_attention_layernorm',
  feedForwardNorm: 'post_attention_layernorm',
  gate: 'mlp.gate_proj',
  up: 'mlp.up_proj',
  down: 'mlp.down_proj',
  feedForwardPostNorm: 'post_feedforward_layernorm',
  finalNorm: 'model.norm',
  head: 'lm_head',
};

/** The names of GGUF files (`MODEL_TENSOR` of gguf-py). */
export const ggufNames: TensorNames = {
  embedding: 'token_embd',
  positions: 'position_embd',
  embeddingNorm: 'token_embd_norm',
  block: 'blk.@.',
  attentionNorm: 'attn_norm',
  query: 'attn_q',
  key: 'attn_k',
  value: 'attn_v',
  attentionOutput: 'attn_output',
  queryNorm: 'attn_q_norm',
  keyNorm: 'attn_k_norm',
  attentionPostNorm: 'post_attention_norm',
  feedForwardNorm: 'ffn_norm',
  gate: 'ffn_gate',
  up: 'ffn_up',
  down: 'ffn_down',
  feedForwardPostNorm: 'post_ffw_norm',
  finalNorm: 'output_norm',
  head: 'output',
};

/** One tensor for queries, keys and values. */
export const fusedAttention = (name: string) => ({query: name, key: name, value: name});
