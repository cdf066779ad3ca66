import type {ModelConfig} from './model_config.js';
import {refused} from './gguf_refusals.js';

type Sizes = Pick<ModelConfig, 'dim' | 'depths' | 'heads' | 'headDim'>;

/**
 * The factor of attention scores of a Gemma 2 or 3, which GGUF files do not state: 1 / sqrt(headDim), but for the model of 27 billion weights,
 * whose queries are scaled by dim / heads (as llama.cpp has it).
 */
export function gemmaScaleOfGguf({dim, depths, heads, headDim}: Sizes, depthsOf27B: number): number {
  return 1 / Math.sqrt(depths === depthsOf27B ? Math.trunc(dim / heads) : headDim);
}

/** @throws ModelError if the factor is another one. */
export function gemmaScaleToGguf(config: ModelConfig, depthsOf27B: number): void {
  const {attentionScale, headDim, architecture} = config;
  const stated = gemmaScaleOfGguf(config, depthsOf27B);
  const scale = attentionScale ?? 1 / Math.sqrt(headDim);
  if (Math.abs(scale / stated - 1) < 1e-6) return;
  throw refused(
    `the factor ${scale} of this model's attention scores: it stands for ${stated}`,
    architecture,
  );
}
