import type {TensorFile} from '../../base/files/tensor_file.js';
import {type Warn} from '../../base/warn.js';
import {rangesOf} from './read_pieces.js';
import type {ModelConfig} from '../architectures/parts/model_config.js';
import {hubHead, isEmbedding, weightsIn} from './check_weights.js';

/**
 * The config with the output head that the weights have. If it says that head and embedding are tied, but the file holds
 * both with different numbers, they become untied, as in `transformers` 5; equal ones stay tied.
 */
export async function withOwnHead(config: ModelConfig, file: TensorFile, warn: Warn): Promise<ModelConfig> {
  if (!config.tiedEmbeddings) return config;
  // without its blocks, for nothing has been checked yet of how many there are
  const embedding = weightsIn(file, {...config, depths: 0}).find(isEmbedding)?.tensor;
  if (embedding === undefined) return config;
  const head = hubHead(config);
  if (embedding === head || !file.tensors.has(head) || (await areEqual(file, embedding, head))) return config;
  warn(
    `config.json says that the output head is the token embedding, but the weights hold "${head}" with other numbers: ` +
      'it is used. Write "tie_word_embeddings": false to say so.',
  );
  return {...config, tiedEmbeddings: false};
}

async function areEqual(file: TensorFile, a: string, b: string): Promise<boolean> {
  const shape = file.tensors.get(a)?.shape;
  if (shape?.join() !== file.tensors.get(b)?.shape.join() || shape === undefined) return false;
  for (const {rows} of rangesOf(file, {tensor: a, shape}, 1)) {
    const [left, right] = [await file.readFloat32(a, rows), await file.readFloat32(b, rows)];
    if (!left.every((value, i) => value === right[i])) return false;
  }
  return true;
}
