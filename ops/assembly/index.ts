// The exports of the compiled module. Memory is tfjs' own heap; no kernel allocates or keeps anything.
// A kernel that needs scratch memory says beside it how many bytes.
export {attend, attendScratch} from './attend';
export {attentionStatistics, attentionStatisticsScratch} from './attention_statistics';
export {causalGradient, causalGradientScratch} from './causal_gradient';
export {meanAngles, preparedTermsBytes, prepareTerms} from './mean_terms';
export {addPartial, addToSeen, mergePartials, partialLogSum, shiftSeen, startSeen} from './merge_partials';
export {groupParameters, packCodes} from './quantize';
export {float8Scales, float8Codes} from './float8';
export {encodeLevels, encodeLevelsScratch} from './lloyd_max_encode';
export {decodeTokens, decodeTokensScratch} from './tiles';
export {project, expandPartial} from './low_rank';
export {solveRows, solveRowsScratch} from './solve';
export {gatherColumns, gatherRows} from './gather_rows';
export {hadamard} from './hadamard';
export {appendRows} from './append';
export {rotate} from './rotate';
export {rmsNorm} from './rms_norm';
export {swiglu} from './swiglu';
export {addNumbers, linear, linearScratch} from './linear';
export {multiplyTransposed} from './multiply_transposed';
export {eigh, eighScratch} from './eigh';
export {svd, svdScratch} from './svd';
export {qr, qrScratch} from './qr';
export {batchedMatMul, batchedMatMulScratch} from './batched_matmul';
export {allFinite} from './finite';
export {roundRows, roundRowsScratch} from './round_rows';
export {packedProduct, packedProductScratch} from './packed_product';
export {gatherOutputs, unpackRecords, unpackRecordsScratch} from './unpack_records';
