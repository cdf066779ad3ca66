import type * as tf from '@tensorflow/tfjs';
import {tensorflowTensor} from '../backends/tensorflow_ops.js';
import {registerKernel, type KernelInputs} from '../run_op.js';
import {outputsOfRecord} from '../weights/formats.js';
import {rowsOfRecords} from '../weights/tensorflow.js';
import type {EmbedAttributes, EmbedInputs} from './reference.js';

registerKernel('Embed', 'tensorflow', embedTensorflow);

/** `embed` by TensorFlow's ops. Of a packed table only the records of the rows that ids name are unpacked. */
function embedTensorflow(
  {ids, table}: KernelInputs<EmbedInputs>,
  {format, dim}: EmbedAttributes,
): tf.TensorInfo {
  const [batch, tokens] = ids.shape;
  const count = batch * tokens;
  return tensorflowTensor(ops => {
    const flat = ops.reshape(ops.of(ids), [count]);
    if (format === 'float32') return ops.reshape(ops.gather(ops.of(table), flat), [batch, tokens, dim]);
    const records = ops.gather(ops.of(table), ops.shiftRight(flat, Math.log2(outputsOfRecord)));
    const firstRows = Array.from({length: count}, (_, i) => i * outputsOfRecord);
    const rows = ops.or(ops.and(flat, outputsOfRecord - 1), ops.constant(firstRows, [count], 'int32'));
    const chosen = ops.gather(rowsOfRecords(ops, records, format), rows);
    return ops.reshape(ops.part(chosen, 1, 0, dim), [batch, tokens, dim]);
  });
}
