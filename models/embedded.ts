import {runsInNode} from '../ops/backends/optional_package.js';
import {TransferError} from '../ops/errors.js';
import {type ModelParts, partsOfHubFiles} from './load/model_parts.js';
import {bytesSource} from '../ops/files/byte_source.js';
import {parseJsonText} from '../ops/files/json_text.js';
import {openSafetensors} from '../ops/files/safetensors.js';

/** The small model that comes with the package; models/embedded/README.md says what it is and what it is not. */
const name = 'embedded';

/**
 * Its files beside this module, each written out: a bundler that meets `new URL('...', import.meta.url)` puts that very file
 * beside what it bundles. (`npm run build` copies the folder to dist/models.)
 */
const files = {
  config: new URL('./embedded/config.json', import.meta.url),
  tokenizer: new URL('./embedded/tokenizer.json', import.meta.url),
  weights: new URL('./embedded/model.safetensors', import.meta.url),
  heldOut: new URL('./embedded/held_out.txt', import.meta.url),
  trainSample: new URL('./embedded/train_sample.txt', import.meta.url),
} as const;

/**
 * A text that comes with the package: `heldOut` (120 kB) to measure on, which the embedded model never saw, or `trainSample`
 * (180 kB) to calibrate on.
 * @throws TransferError where it cannot be read.
 */
export async function embeddedText(text: 'heldOut' | 'trainSample'): Promise<string> {
  return new TextDecoder().decode(await read(files[text]));
}

/**
 * The parts of the embedded model, its weights whole in memory (9 MB): from the disk in Node, in a browser by `fetch` from
 * beside this module.
 * @throws TransferError where they cannot be read.
 */
export async function embeddedParts(): Promise<{parts: ModelParts; source: string}> {
  const json = async (url: URL) => parseJsonText(new TextDecoder().decode(await read(url)), url.href);
  const hubFiles = {config: await json(files.config), tokenizer: await json(files.tokenizer)};
  const weights = await openSafetensors(bytesSource(await read(files.weights), 'model.safetensors'));
  return {parts: await partsOfHubFiles(hubFiles, weights, name), source: sourceFolder()};
}

/** What `loadModel` takes to load it again: in Node its folder. */
function sourceFolder(): string {
  const folder = new URL('.', files.weights);
  return isOnDisk(folder) ? process.getBuiltinModule('node:url').fileURLToPath(folder) : folder.href;
}

const isOnDisk = (url: URL) => url.protocol === 'file:' && runsInNode();

async function read(url: URL): Promise<Uint8Array> {
  try {
    return isOnDisk(url)
      ? await process.getBuiltinModule('node:fs/promises').readFile(url)
      : await fetchBytes(url);
  } catch (cause) {
    throw new TransferError(
      `Of the embedded model, ${url.href} cannot be read: install the package again, or let the bundler copy what ` +
        '`new URL(..., import.meta.url)` names.',
      {cause},
    );
  }
}

async function fetchBytes(url: URL): Promise<Uint8Array> {
  const response = await fetch(url);
  if (!response.ok) throw new TransferError(`${url.href} answers ${response.status}.`);
  return new Uint8Array(await response.arrayBuffer());
}
