/** Codecs of both sides at once. Such a codec is one file here and one line in this list. */
export {adaptive, type AdaptiveCodecOptions} from './adaptive.js';
export {onlineSvd, type OnlineSvdCodecOptions} from './online_svd.js';
