import type {Factory} from '../../base/options.js';
import {
  type OnlineSvdCodecOptions,
  onlineSvd as onlineSvdCodec,
  onlineSvdEntries,
} from '../codecs/online_svd.js';
import type {Policy} from '../contract.js';
import {type KeepOptions, definePolicy, keepEntries} from './define.js';

export interface OnlineSvdOptions extends OnlineSvdCodecOptions, KeepOptions {}

/**
 * Stores keys and values as a truncated singular value decomposition that grows with the text (Brand, 2002): see the codec of the same
 * name. The first `sinks` tokens stay exact, and new ones until `updateFreq` of them wait.
 */
export const onlineSvd: Factory<OnlineSvdOptions, Policy> = definePolicy(
  'onlineSvd',
  {...onlineSvdEntries, ...keepEntries},
  ({rank, updateFreq, sinks, keep}) => ({sinks, recent: 0, keep, store: onlineSvdCodec({rank, updateFreq})}),
);
