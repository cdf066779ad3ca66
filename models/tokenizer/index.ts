/** Text to token ids and back: from tokenizer.json, from a GGUF file's own vocabulary, and piece by piece. */
export type {Tokenizer} from './tokenizer.js';
export {tokenizerFromJson} from './from_json.js';
export {tokenizerFromGguf} from './from_gguf.js';
export {type StreamDecoder, streamDecoder} from './stream_decoder.js';
