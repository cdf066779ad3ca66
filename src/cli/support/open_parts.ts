import {findParts} from '../../../models/formats/find_parts.js';
import type {ModelParts} from '../../../models/formats/model_parts.js';
import {pathOrHubId} from './model_name.js';
import {progressBar} from './progress.js';

/** A model's parts without its weights in memory, a download's progress shown; the caller closes `weights`. */
export async function openParts(
  model: string | undefined,
  signal: AbortSignal,
): Promise<ModelParts & {source: string}> {
  const bar = progressBar('Downloading');
  try {
    const {parts, source} = await findParts(pathOrHubId(model), {
      signal,
      onProgress: ({done, total}) => bar.update(done, total),
    });
    return {...parts, source};
  } finally {
    bar.stop();
  }
}
