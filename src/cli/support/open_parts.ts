import {stat} from 'node:fs/promises';
import {resolve} from 'node:path';
import {embeddedParts} from '../../../models/embedded.js';
import {fetchModel, isHubId} from '../../../models/hub.js';
import {type ModelParts, partsOfPath} from '../../../models/load/model_parts.js';
import {InvalidArgumentError} from '../../../ops/errors.js';
import {progressBar} from './progress.js';

/** A model's parts without its weights in memory; the caller closes `weights`. Named as `loadModel` has it. */
export async function openParts(
  model: string | undefined,
  signal: AbortSignal,
): Promise<ModelParts & {source: string}> {
  if (model === undefined) {
    const {parts, source} = await embeddedParts();
    return {...parts, source};
  }
  const isLocal = await stat(model).then(
    () => true,
    () => false,
  );
  return {...(await partsOfPath(isLocal ? resolve(model) : await download(model, signal))), source: model};
}

async function download(id: string, signal: AbortSignal): Promise<string> {
  if (!isHubId(id) || /^[^:]*\.(gguf|safetensors|json)$/.test(id)) {
    throw new InvalidArgumentError(`There is no file or folder ${id}, and it is no hub id (owner/name).`);
  }
  const bar = progressBar('Downloading');
  try {
    return await fetchModel(id, {
      signal,
      onProgress: ({receivedBytes, totalBytes}) => bar.update(receivedBytes, totalBytes ?? receivedBytes),
    });
  } finally {
    bar.stop();
  }
}
