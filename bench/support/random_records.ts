import * as tf from '@tensorflow/tfjs';
import {type PackedFormat, recordsShape} from '../../ops/weights/formats.js';

/** Random words in which each 16 bits are a number of moderate size, in float16 and bfloat16 alike: as scales none is special. */
export function randomRecords(format: PackedFormat, inputs: number, outputs: number): tf.Tensor3D {
  const shape = recordsShape(format, inputs, outputs);
  let state = 1;
  const words = Int32Array.from({length: shape[0] * shape[1] * shape[2]}, () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) | 0;
    return (state & 0x83ff83ff) | 0x24002400;
  });
  return tf.tensor3d(words, shape, 'int32');
}
