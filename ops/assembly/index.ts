// Everything that the compiled module exports. Memory is tfjs' own heap; no kernel allocates or keeps anything.
export {attend} from './attend';
export {mergePartials} from './merge_partials';
export {groupParameters, packCodes, dequantize} from './integer';
export {appendRows} from './append';
export {rotate} from './rotate';
export {rmsNorm} from './rms_norm';
export {unembed} from './multiply_transposed';
export {eigh} from './eigh';
export {batchedMatMul} from './batched_matmul';
