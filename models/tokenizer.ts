/** Text to token ids and back: from tokenizer.json, from a GGUF file's own vocabulary, and piece by piece. */
export type {Tokenizer} from './tokenizer/tokenizer.js';
export {tokenizerFromJson} from './tokenizer/from_json.js';
export {tokenizerFromGguf} from './tokenizer/from_gguf.js';
export {type StreamDecoder, streamDecoder} from './tokenizer/stream_decoder.js';
