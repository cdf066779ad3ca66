/** Presets: policies named after their papers and methods. A preset is one file in this folder and one line in this list. */
export {adaptive, type AdaptiveOptions} from './adaptive.js';
export {float8, type Float8PolicyOptions} from './float8.js';
export {full} from './full.js';
export {h2o, type H2oOptions} from './h2o.js';
export {layered, type LayeredOptions} from './layered.js';
export {lfu} from './lfu.js';
export {type LeastUsedOptions, lru} from './lru.js';
export {mixed, type MixedOptions} from './mixed.js';
export {onlineSvd, type OnlineSvdOptions} from './online_svd.js';
export {quantized, type QuantizedOptions} from './quantized.js';
export {sliding, type SlidingOptions} from './sliding.js';
export {transform, type TransformPolicyOptions} from './transform.js';
