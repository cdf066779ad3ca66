import type {GeneratedToken} from './options.js';
import {largest, largestIds} from './sampling.js';

/**
 * How probable the model finds a token: `log softmax(logits)`, and the same of the `count` most probable ones.
 * @throws ModelError if the logits are not finite numbers.
 */
export function withLogprobs(id: number, logits: Float32Array, count: number): GeneratedToken {
  const top = logits[largest(logits)]!;
  let sum = 0;
  for (const logit of logits) sum += Math.exp(logit - top);
  const logprob = (one: number) => logits[one]! - top - Math.log(sum);
  return {
    id,
    logprob: logprob(id),
    top: largestIds(logits, count).map(one => ({id: one, logprob: logprob(one)})),
  };
}
