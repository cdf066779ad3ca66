import * as v from 'valibot';
import {checkOptions} from '../options.js';
import type {Policy} from '../policy.js';

const schema = v.strictObject({});

/** Keeps every token exactly as it is: the baseline that all others are measured against. */
export function full(options: v.InferInput<typeof schema> = {}): Policy {
  return {name: 'full', options: checkOptions('full', schema, options), compress: past => past};
}
