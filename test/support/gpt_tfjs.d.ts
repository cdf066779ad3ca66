/** What tests use of the npm package gpt-tfjs 0.0.5, which has no types. */
declare module 'gpt-tfjs' {
  import type {LayersModel} from '@tensorflow/tfjs';

  export interface GptConfig {
    nLayer: number;
    nHead: number;
    nEmbd: number;
    vocabSize: number;
    /** Tokens of its context. */
    blockSize: number;
    dropout: number;
    bias?: boolean;
  }
  export interface Gpt {
    readonly model: LayersModel;
    /** Prompts and what follows them, the most probable token each time. */
    generate(prompts: number[][], options: {maxNewTokens: number}): Promise<number[][]>;
  }
  const gptTfjs: {model: {GPTLMHeadModel(config: GptConfig): Gpt}};
  export default gptTfjs;
}
