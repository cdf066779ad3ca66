/** Whole models: loading, building, saving, generating. */
export * from './attach/index.js';
export * from './compress/index.js';
export {type ModelToSave, type SaveModelOptions, saveModel} from './save.js';
export {embeddedText} from './embedded_model.js';
export {Chat, type ChatTurn, chat} from './chat/chat.js';
export type {AnswerOptions, ChatOptions} from './chat/options.js';
export type {ChatMessage, TemplateVariables} from './chat/messages.js';
export {renderChat} from './chat/render_chat.js';
export {generate} from './generate/generate.js';
export type {
  GenerateIdsOptions,
  GenerateOptions,
  GeneratedToken,
  LogitBias,
  LogitProcessor,
  SamplingOptions,
} from './generate/options.js';
export {findSmolLM2, modelCacheDirectory} from './hub/index.js';
export type {LoadModelOptions, LoadProgress} from './formats/find_parts.js';
export type {WeightSetting} from './formats/weight_formats.js';
export {loadModel} from './load.js';
export {type KvzipOptions, kvzip} from './prompt/kvzip.js';
export * from './keras/index.js';
export type {LoadedModel, TextModel} from './loaded_model.js';
export type {ModelLike, ModelParts, TextLike} from './model_like.js';
export type {AttentionConfig} from './architectures/parts/attention.js';
export type {ModelConfig} from './architectures/parts/model_config.js';
export {buildModel} from './architectures/index.js';
export {type StreamDecoder, type Tokenizer, streamDecoder} from './tokenizer/index.js';
export type {TokenizerJson} from './tokenizer/tokenizer_json.js';
