import {EncodingDescriptor} from './encoding_descriptor';

// A number of each token that is added to its scores, for all rows of queries alike.

/** The address of the biases of the tokens of a head from `token` on; 0 if there are none. */
// @ts-ignore: decorator
@inline
export function biasAt(keys: EncodingDescriptor, head: i32, token: i32): usize {
  return keys.bias ? <usize>keys.bias + (<usize>(head * keys.biasRows + token) << 2) : 0;
}

/** Adds biases to the scores of a row; those after `count` stay. */
export function addBias(scores: usize, bias: usize, count: i32): void {
  let j: usize = 0;
  const end = <usize>count << 2;
  for (; j + 16 <= end; j += 16) v128.store(scores + j, f32x4.add(v128.load(scores + j), v128.load(bias + j)));
  for (; j < end; j += 4) store<f32>(scores + j, load<f32>(scores + j) + load<f32>(bias + j));
}
