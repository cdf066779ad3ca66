/** What policies are made of, for those of your own: pure functions from a past to a past. */
export {type Eviction, evict, keepTokens} from './evict.js';
export {type SealContext, type SideCodecs, keepSinks, seal, sealable, withoutOldest} from './segments.js';
