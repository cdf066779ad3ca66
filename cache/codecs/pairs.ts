/** Codecs that encode keys and values together. Such a codec is one file in this folder and one line in this list. */
export {adaptive, type AdaptiveCodecOptions} from './adaptive.js';
export {onlineSvd, type OnlineSvdCodecOptions} from './online_svd.js';
export {transform, type TransformOptions} from './transform.js';
