/** How tokens can be stored. A codec is one file here and one line in each list. */
export {dense} from './dense.js';
export {integer, type IntegerOptions} from './integer.js';
