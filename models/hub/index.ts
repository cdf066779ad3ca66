/** Models from the Hugging Face hub, and the folders that keep them (Node only). */
export {cachedModelPath, hubCacheDirectory, modelCacheDirectory} from './cache_directory.js';
export {fileSha256} from './check_content.js';
export type {TransferProgress} from './download.js';
export {fetchAddress, isWebAddress} from './fetch_address.js';
export {fetchModel} from './fetch_model.js';
export {type HubId, isHubAddress, isHubId, parseHubId} from './hub_id.js';
export type {HubOptions} from './hub_request.js';
export {findSmolLM2, smolLM2} from './smollm2.js';
