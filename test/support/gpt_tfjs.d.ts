/** What tests use of the npm package gpt-tfjs 0.0.5, which has no types. */
declare module 'gpt-tfjs' {
  import type {LayersModel} from '@tensorflow/tfjs';

  export interface GptConfig {
    nLayer: number;
    nHead: number;
    nEmbd: number;
    vocabSize: number;
    /** Context length in tokens. */
    blockSize: number;
    dropout: number;
    bias?: boolean;
  }
  export interface Gpt {
    readonly model: LayersModel;
    /** Prompts with their greedy continuations. */
    generate(prompts: number[][], options: {maxNewTokens: number}): Promise<number[][]>;
  }
  const gptTfjs: {model: {GPTLMHeadModel(config: GptConfig): Gpt}};
  export default gptTfjs;
}
