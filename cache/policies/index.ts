/** Which tokens stay, and how. A policy is one file here and one line in this list. */
export {full} from './full.js';
export {quantized, type QuantizedOptions} from './quantized.js';
