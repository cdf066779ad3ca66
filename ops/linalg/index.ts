/**
 * Decompositions of stacks of matrices, which TensorFlow.js lacks: on any backend, with gradients. Every function takes float32
 * `[..., m, n]` with any leading axes and disposes of what it makes on the way.
 */
export {type Eigen, eigh, eighAsync} from './eigh/index.js';
export {type LowRank, type LowRankOptions, lowRank} from './low_rank.js';
export {type PinvOptions, pinv} from './pinv.js';
export {type Qr, qr} from './qr/index.js';
export {type RandomizedSvdOptions, randomizedSvd} from './randomized_svd.js';
export {effectiveRank, stableRank} from './ranks.js';
export type {NumbersOf, RowsOf} from './stacks.js';
export {type Svd, type SvdOptions, svd} from './svd/index.js';
