import * as v from 'valibot';
import type {Options} from '../codec.js';
import {checkOptions} from '../../base/options.js';
import type {Policy} from '../policy.js';

/** Keeps every token exactly as it is: the baseline that all others are measured against. */
export function full(options: Options = {}): Policy {
  return {name: 'full', options: checkOptions('full', v.strictObject({}), options), compress: past => past};
}
