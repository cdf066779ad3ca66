/** How tokens can be stored: codecs of one side, for keys or values. A codec is one file here and one line in a list. */
export {dense} from './dense.js';
export {float8, type Float8Options} from './float8.js';
export {integer, type IntegerOptions} from './integer.js';
export {lowRank, type LowRankOptions} from './low_rank.js';
