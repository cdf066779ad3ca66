/** Whole models: loading, building, saving, generating. */
export * from './attach/index.js';
export * from './compress/index.js';
export {type SaveModelOptions, saveModel} from './convert.js';
export {embeddedText} from './embedded.js';
export {type GenerateIdsOptions, type GenerateOptions, generate, generateIds} from './generate.js';
export {findSmolLM2, modelCacheDirectory} from './hub.js';
export type {LoadModelOptions, LoadProgress} from './load/find_parts.js';
export {type LoadedModel, loadModel} from './load_model.js';
export type {ModelConfig} from './model_config.js';
export {buildModel} from './registry.js';
export {type StreamDecoder, type Tokenizer, streamDecoder} from './tokenizer.js';
export type {TokenizerJson} from './tokenizer/tokenizer_json.js';
