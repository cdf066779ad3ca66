import type {Factory} from '../../base/options.js';
import {codecPair} from '../codecs/pair.js';
import {dense} from '../codecs/dense.js';
import type {Policy} from '../contract.js';
import {all} from '../keepers/all.js';
import {type ReadOptions, definePolicy, readEntries} from './define.js';

/** Keeps every token exact (float32): the baseline for all other policies. */
export const full: Factory<ReadOptions, Policy> = definePolicy('full', readEntries, ({skipValues}) => ({
  sinks: 0,
  recent: 0,
  keep: all(),
  store: codecPair({keys: dense(), values: dense()}),
  skipValues,
}));
