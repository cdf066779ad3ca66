/** Codecs for one side: how keys or values are stored. A codec is one file in this folder and one line in this list. */
export {dense} from './dense.js';
export {float8, type Float8Options} from './float8.js';
export {integer, type IntegerOptions} from './integer.js';
export {lowRank, type LowRankOptions} from './low_rank.js';
