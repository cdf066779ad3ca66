// Everything that the compiled module exports. Memory is tfjs' own heap; no kernel allocates or keeps anything.
export {attend} from './attend';
export {attentionStatistics} from './attention_statistics';
export {causalGradient} from './causal_gradient';
export {mergePartials, partialLogSum} from './merge_partials';
export {groupParameters, packCodes} from './quantize';
export {dequantize} from './dequantize';
export {float8Scales, float8Codes, decodeFloat8} from './float8';
export {project, expandPartial} from './low_rank';
export {gatherRows} from './gather_rows';
export {hadamard} from './hadamard';
export {appendRows} from './append';
export {rotate} from './rotate';
export {rmsNorm} from './rms_norm';
export {swiglu} from './swiglu';
export {lmHead} from './multiply_transposed';
export {eigh} from './eigh';
export {batchedMatMul} from './batched_matmul';
export {allFinite} from './finite';
