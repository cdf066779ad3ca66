import {InvalidArgumentError, TransferError, shown} from '../base/errors.js';
import {type ModelParts, partsOfHubFiles} from './formats/model_parts.js';
import {bytesSource} from '../base/files/byte_source.js';
import {parseJsonText} from '../base/files/json_text.js';
import {readOwnFile} from '../base/files/package_file.js';
import {openSafetensors} from '../base/files/safetensors.js';

/** The small model that comes with the package; models/embedded/README.md says what it is and what it is not. */
export const embeddedName = 'embedded';

/** Of its files those that the model is made of; each is written out, for bundlers to see. (`npm run build` copies the folder.) */
const modelFiles = {
  'config.json': () => new URL('./embedded/config.json', import.meta.url),
  'tokenizer.json': () => new URL('./embedded/tokenizer.json', import.meta.url),
  'model.safetensors': () => new URL('./embedded/model.safetensors', import.meta.url),
} as const;

const texts = {heldOut: 'held_out.txt', trainSample: 'train_sample.txt'} as const;

/**
 * A text that comes with the package: `heldOut` (120 kB) to measure on, which the embedded model never saw, or `trainSample`
 * (180 kB) to calibrate on. Bundlers leave them out; to include one, use its address
 * `new URL('eigenkv/embedded/held_out.txt', import.meta.url)`.
 * @throws TransferError if it cannot be read.
 */
export async function embeddedText(text: keyof typeof texts): Promise<string> {
  if (!Object.hasOwn(texts, text)) {
    throw new InvalidArgumentError(
      `There is no embedded text ${shown(text)}; there are ${Object.keys(texts).join(', ')}.`,
    );
  }
  return new TextDecoder().decode((await read(texts[text])).bytes);
}

/**
 * The parts of the embedded model, its weights whole in memory (9 MB): from the disk in Node, in a browser by `fetch`.
 * @throws TransferError if they cannot be read; it names the places that were tried.
 */
export async function embeddedParts(): Promise<ModelParts> {
  const json = async (file: 'config.json' | 'tokenizer.json') => {
    const {bytes, url} = await read(file);
    return parseJsonText(new TextDecoder().decode(bytes), url);
  };
  const hubFiles = {config: await json('config.json'), tokenizer: await json('tokenizer.json')};
  const {bytes} = await read('model.safetensors');
  const weights = await openSafetensors(bytesSource(bytes, 'model.safetensors'));
  return partsOfHubFiles(hubFiles, weights, embeddedName);
}

type File = keyof typeof modelFiles | (typeof texts)[keyof typeof texts];

const isOfModel = (file: File): file is keyof typeof modelFiles => file in modelFiles;

/** The file's address relative to this module; undefined if a bundler renamed the model's files or there is no import.meta.url. */
function besideModel(file: File): URL | undefined {
  try {
    if (isOfModel(file)) return modelFiles[file]();
    const weights = modelFiles['model.safetensors']();
    return weights.href.endsWith('/embedded/model.safetensors') ? new URL(file, weights) : undefined;
  } catch {
    return undefined;
  }
}

async function read(file: File): Promise<{bytes: Uint8Array; url: string}> {
  const beside = besideModel(file);
  try {
    const copy = `embedded/${file}`;
    return await readOwnFile(beside, copy, `dist/models/${copy}`);
  } catch (cause) {
    const tried = cause instanceof TransferError ? cause.message : String(cause);
    throw new TransferError(
      `Of the embedded model, ${file} cannot be read: ${tried} Install the package again; or copy the folder ` +
        'node_modules/eigenkv/dist/models/embedded beside the script, as bundlers do that know `new URL(..., import.meta.url)`.',
      {cause},
    );
  }
}
