import {runsInNode} from '../../ops/backends/optional_package.js';
import {InvalidArgumentError} from '../../ops/errors.js';
import {embeddedParts} from '../embedded.js';
import {fetchModel, isHubId} from '../hub.js';
import {blobSource} from '../../ops/files/byte_source.js';
import {openGguf} from '../weights/gguf.js';
import {type ModelParts, partsOfGguf, partsOfPath} from './model_parts.js';

export interface LoadProgress {
  readonly stage: 'download' | 'weights';
  /** The file that is transferred or read. */
  readonly file: string;
  /** Bytes of that file. */
  readonly done: number;
  readonly total: number;
}

export interface LoadModelOptions {
  readonly onProgress?: (progress: LoadProgress) => void;
  /** Ends loading between two tensors, or a download at once, with the signal's reason; nothing stays in memory. */
  readonly signal?: AbortSignal;
}

/**
 * The parts of a model and the `source` that names it: config and tokenizer read, weights open, to be closed by the caller.
 * See `loadModel` for what may be given and what is thrown.
 */
export async function findParts(
  given: string | Blob | undefined,
  options: LoadModelOptions = {},
): Promise<{parts: ModelParts; source: string}> {
  if (given === undefined) return embeddedParts();
  if (typeof given !== 'string') {
    const file = blobSource(given);
    return {parts: await partsOfGguf(await openGguf(file), file.name), source: file.name};
  }
  if (!runsInNode()) {
    throw new InvalidArgumentError(
      `"${given}" names a file or a model on the hub, which a browser does not open: give the File that the user chose ` +
        '(a .gguf), or nothing for the model that comes with the package.',
    );
  }
  const {stat} = process.getBuiltinModule('node:fs/promises');
  const {resolve} = process.getBuiltinModule('node:path');
  const isLocal = await stat(given).then(
    () => true,
    () => false,
  );
  if (isLocal) return {parts: await partsOfPath(resolve(given)), source: resolve(given)};
  // a mistyped path of a weight file also reads as owner/name; the hub need not be asked for those
  if (!isHubId(given) || /^[^:]*\.(gguf|safetensors|json)$/.test(given)) {
    throw new InvalidArgumentError(
      `There is no file or folder ${given}, and it is no hub id. Give a .gguf file, a folder with config.json, tokenizer.json ` +
        'and model.safetensors, or a hub id: owner/name, or owner/name:file.gguf.',
    );
  }
  return {parts: {...(await partsOfPath(await download(given, options))), name: given}, source: given};
}

function download(id: string, {onProgress, signal}: LoadModelOptions): Promise<string> {
  return fetchModel(id, {
    ...(signal && {signal}),
    onProgress: ({file, receivedBytes, totalBytes}) => {
      onProgress?.({stage: 'download', file, done: receivedBytes, total: totalBytes ?? receivedBytes});
    },
  });
}
