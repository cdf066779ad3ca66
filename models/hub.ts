/** Models from the Hugging Face hub, and the user's cache directory that keeps them (Node only). */
export {cachedModelPath, modelCacheDirectory} from './hub/cache_directory.js';
export {fileSha256} from './hub/check_content.js';
export type {TransferProgress} from './hub/download.js';
export {type HubOptions, fetchModel, fetchModelFile} from './hub/fetch_model.js';
export {type HubId, isHubId, parseHubId} from './hub/hub_id.js';
export {findSmolLM2, smolLM2} from './hub/smollm2.js';
