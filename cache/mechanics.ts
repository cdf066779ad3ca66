/** What policies are made of, for those of your own: pure functions from a past to a past. */
export {type Eviction, evict, keepTokens} from './past/evict.js';
export {
  type SealContext,
  type SideCodecs,
  keepSinks,
  seal,
  sealable,
  withoutOldest,
} from './past/segments.js';
