import {copyFile, mkdir, mkdtemp, readFile, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {saveModel} from '../../../models/save.js';
import {loadModel} from '../../../models/load.js';
import type {LoadedModel} from '../../../models/loaded_model.js';
import {openTensorPath} from '../../../base/files/open_tensor_file.js';
import {type TensorToWrite, writeSafetensors} from '../../../base/files/write_safetensors.js';
import {expectClose} from '../../support/tensors.js';
import {type Golden, logitsOf, tinyJson, tinyPath} from '../architectures/tiny_models.js';

/** A tiny model in the hub's files, and changed copies of it. */
export interface HubFolders {
  /** Holds all others; to be removed by `remove`. */
  readonly folder: string;
  /** The unchanged model. */
  readonly whole: string;
  /** A copy of the whole model with some files changed, or left out where undefined. */
  changed(name: string, files: Readonly<Record<string, unknown>>): Promise<string>;
  readWhole(file: string): Promise<Record<string, unknown>>;
  /** The whole model's weights, changed. */
  weightsWith(change: (tensor: TensorToWrite) => TensorToWrite[]): Promise<Uint8Array>;
  /** Compares with NumPy's logits, or with what they become by `change`, and disposes the model. */
  expectGolden(loaded: LoadedModel, change?: (logits: readonly number[]) => readonly number[]): Promise<void>;
  remove(): Promise<void>;
}

export async function hubFolders(tinyName: string): Promise<HubFolders> {
  const folder = await mkdtemp(join(tmpdir(), 'eigenkv-load-'));
  const whole = join(folder, 'whole');
  const loaded = await loadModel(tinyPath(tinyName, 'model.gguf'));
  await saveModel(loaded, whole);
  loaded.dispose();
  return {
    folder,
    whole,
    async changed(name, files) {
      const copy = join(folder, name);
      await mkdir(copy, {recursive: true});
      for (const file of ['config.json', 'tokenizer.json', 'tokenizer_config.json', 'model.safetensors']) {
        if (!(file in files)) await copyFile(join(whole, file), join(copy, file));
      }
      for (const [file, content] of Object.entries(files)) {
        if (content === undefined) continue;
        const isText = typeof content === 'string' || content instanceof Uint8Array;
        await writeFile(join(copy, file), isText ? content : JSON.stringify(content));
      }
      return copy;
    },
    readWhole: async file => JSON.parse(await readFile(join(whole, file), 'utf8')) as Record<string, unknown>,
    async weightsWith(change) {
      const file = await openTensorPath(join(whole, 'model.safetensors'));
      const tensors = [...file.tensors.values()].flatMap(({name, shape}) =>
        change({name, shape, dtype: 'F32', data: () => file.readFloat32(name)}),
      );
      const bytes = await writeSafetensors(tensors);
      await file.close();
      return bytes;
    },
    async expectGolden(model, change = logits => logits) {
      const {ids, logits} = await tinyJson<Golden>(tinyName, 'golden.json');
      await expectClose(await logitsOf(model.model, ids), change(logits.data), 1e-4);
      model.dispose();
    },
    remove: () => rm(folder, {recursive: true}),
  };
}

/** A model with what was said while it was loaded. */
export async function loadWarned(
  given: Parameters<typeof loadModel>[0],
): Promise<{loaded: LoadedModel; warnings: string[]}> {
  const warnings: string[] = [];
  const loaded = await loadModel(given, {onWarning: message => warnings.push(message)});
  return {loaded, warnings};
}
