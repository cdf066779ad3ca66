import * as tf from '@tensorflow/tfjs';
import {type Factory, defineFactory} from '../../base/options.js';
import type {Keeper} from '../contract.js';
import {limitsOf} from './options.js';
import {type UsedOptions, usedEntries} from './last_used.js';

/** Evicts the least frequently used tokens (LFU); ties evict the oldest. `UsedOptions` defines a use. */
export const mostUsed: Factory<UsedOptions, Keeper> = defineFactory('mostUsed', usedEntries, options => ({
  name: 'mostUsed',
  options,
  ...limitsOf(options),
  observes: {statistic: 'uses', threshold: options.threshold},
  score: ({attention, positions, tokensSeen}) => tf.add(attention, tf.div(positions, tokensSeen)),
}));
