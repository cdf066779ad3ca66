import {TransferError} from '../ops/errors.js';
import {type ModelParts, parseJson, partsOfHubFiles} from './load/model_parts.js';
import {bytesSource} from './weights/byte_source.js';
import {openSafetensors} from './weights/safetensors.js';

/** The small model that comes with the package; models/embedded/README.md says what it is and what it is not. */
const name = 'embedded';

/** Where its files lie, as seen from this module: among the sources, and from dist/models. */
const folders = ['./embedded/', '../../models/embedded/'];

/** The texts beside the embedded model: what training never saw, and a sample of what it saw. */
const texts = {heldOut: 'held_out.txt', trainSample: 'train_sample.txt'} as const;

/**
 * A text that comes with the package: `heldOut` (120 kB) to measure on, which the embedded model never saw, or `trainSample`
 * (180 kB) to calibrate on.
 * @throws TransferError where it cannot be read.
 */
export async function embeddedText(text: keyof typeof texts): Promise<string> {
  return new TextDecoder().decode((await readEmbedded(texts[text])).bytes);
}

/**
 * The parts of the embedded model, its weights whole in memory (9 MB): from the disk in Node, in a browser by `fetch` from
 * beside this module.
 * @throws TransferError where they cannot be read.
 */
export async function embeddedParts(): Promise<{parts: ModelParts; source: string}> {
  const json = async (file: string) =>
    parseJson(new TextDecoder().decode((await readEmbedded(file)).bytes), file);
  const {bytes, folder} = await readEmbedded('model.safetensors');
  const files = {config: await json('config.json'), tokenizer: await json('tokenizer.json')};
  const weights = await openSafetensors(bytesSource(bytes, 'model.safetensors'));
  return {parts: await partsOfHubFiles(files, weights, name), source: folder};
}

async function readEmbedded(file: string): Promise<{bytes: Uint8Array; folder: string}> {
  let cause: unknown;
  for (const folder of folders) {
    const url = new URL(folder + file, import.meta.url);
    try {
      if (url.protocol !== 'file:') return {bytes: await fetchBytes(url), folder: new URL('.', url).href};
      const {readFile} = await import('node:fs/promises');
      const {fileURLToPath} = await import('node:url');
      return {bytes: await readFile(url), folder: fileURLToPath(new URL('.', url))};
    } catch (error) {
      cause = error;
    }
  }
  throw new TransferError(
    `The embedded model's ${file} is not beside ${import.meta.url}: install the package again, or copy its folder ` +
      'models/embedded to where this script looks for it.',
    {cause},
  );
}

async function fetchBytes(url: URL): Promise<Uint8Array> {
  const response = await fetch(url);
  if (!response.ok) throw new TransferError(`${url.href} answers ${response.status}.`);
  return new Uint8Array(await response.arrayBuffer());
}
