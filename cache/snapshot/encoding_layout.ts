export {layoutOf as encodingLayout} from '../../ops/encodings/encoding.js';
export type {EncodingLayout} from '../../ops/encodings/index.js';
export {encodingLayoutSchema, encodingOfLayout, type TensorSpec} from '../../ops/encodings/layout.js';
