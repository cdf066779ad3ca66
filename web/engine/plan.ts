import {type Plan, perDepth} from '../../src/index.js';
import type {Band} from '../state/bands.js';

/**
 * The plan of these bands.
 * @throws InvalidArgumentError if a policy is not known or an option not allowed.
 */
export function planOf(bands: readonly Band[]): Plan {
  return perDepth(bands.flatMap(({depths, policy}) => Array<string>(depths).fill(policy)));
}
