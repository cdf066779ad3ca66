import type * as tf from '@tensorflow/tfjs';
import {matrixOf} from '../../ops/weights/packed_variables.js';
import {type OpenMemory, openMemory} from '../../ops/backends/write_in_place.js';
import {type PackedMatrix, isPacked} from '../../ops/weights/matrix.js';
import {markFinite} from '../../ops/weights/finite_records.js';
import type {StoredWeight} from '../architectures/parts/architecture.js';
import type {TensorFile} from '../../base/files/tensor_file.js';
import {type ProgressOptions, countProgress} from '../progress.js';
import {outputOrder} from './layouts.js';
import {type FilledVariables, filledVariables} from './model_variables.js';
import {freeNumbers, readFloatPieces, readPackedPieces} from './read_pieces.js';
import {type OutputSlice, writeOutputRows, writeRecords, writeRows} from './write_piece.js';

/**
 * Gives a model the weights of a file, a few MB at a time: pieces of a tensor are read as the variable stores them, and written into its
 * memory in the layer's layout. Float32 kernels are `[inputs, outputs]`, packed ones records; pairs of channels that rotate are halves.
 * Waiting events are handled after each piece.
 *
 * @param weights what `checkedWeights` gave for this file and the model's config.
 * @param options `onProgress` counts bytes of the file.
 * @throws ModelError if a weight is NaN or infinite, or cannot be packed; FormatError if the file is damaged; BackendError if there is no
 *   memory; the signal's reason. The model's weights are partly set then.
 */
export async function fillWeights(
  model: tf.LayersModel,
  weights: readonly StoredWeight[],
  file: TensorFile,
  options: ProgressOptions = {},
): Promise<void> {
  const total = weights.reduce((sum, {tensor}) => sum + file.tensors.get(tensor)!.byteLength, 0);
  const advance = countProgress(total, options);
  for (const target of filledVariables(model, weights)) await fill(target, file, advance);
}

async function fill(
  {stored, variables}: FilledVariables,
  file: TensorFile,
  advance: (bytes: number) => Promise<void>,
): Promise<void> {
  const targets = targetsOf(stored, variables);
  const {matrix} = targets[0]!;
  if (isPacked(matrix)) {
    for await (const piece of readPackedPieces(file, stored, matrix.format)) {
      for (const {memory, slice} of targets) {
        memory.withBytes(bytes => {
          writeRecords(bytes, matrix, piece, slice);
        });
      }
      freeNumbers(piece);
      await advance(piece.bytes);
    }
  } else {
    const write = stored.transposed && stored.shape.length === 2 ? writeOutputRows : writeRows;
    for await (const piece of readFloatPieces(file, stored)) {
      for (const {memory, slice} of targets) {
        memory.withBytes(({buffer, byteOffset, byteLength}) => {
          write(new Float32Array(buffer, byteOffset, byteLength / 4), piece, slice);
        });
      }
      freeNumbers(piece);
      await advance(piece.bytes);
    }
  }
  for (const {memory, variable} of targets) {
    memory.close();
    if (isPacked(matrix)) markFinite(variable.read()); // pieces were looked through
  }
}

/** A variable that is filled, and the outputs of the tensor that it takes. */
interface Target {
  readonly variable: tf.LayerVariable;
  readonly memory: OpenMemory;
  readonly matrix: tf.Tensor | PackedMatrix;
  readonly slice: OutputSlice;
}

/** Variables that share a tensor lie side by side along its outputs, or as its layout says. */
function targetsOf(stored: StoredWeight, variables: readonly tf.LayerVariable[]): Target[] {
  const outputs = variables.map(variable => {
    const matrix = matrixOf(variable);
    return isPacked(matrix) ? matrix.outputs : matrix.shape.at(-1)!;
  });
  const sum = (counts: readonly number[]) => counts.reduce((total, count) => total + count, 0);
  const order = outputOrder(stored, outputs);
  return variables.map((variable, i) => ({
    variable,
    memory: openMemory(variable),
    matrix: matrixOf(variable),
    slice: {first: sum(outputs.slice(0, i)), outputs: outputs[i]!, order},
  }));
}
