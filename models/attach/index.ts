/** Caches for models of other packages. */
export {type AttachOptions, attachCache} from './attach_cache.js';
export {type PositionAdapter, paddedBehind, registerPositionAdapter} from './position_adapters.js';
