import {readdirSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import * as tf from '@tensorflow/tfjs';
import {type GoldenArray, goldenTensor, readGolden} from './golden.js';

const folder = fileURLToPath(new URL('../golden/keras/', import.meta.url));

/** Models that tools/keras_goldens exported: their names, which end in the version of Keras. */
export const kerasExports = readdirSync(folder);

/** The folder of a model.json. */
export const pathOf = (name: string) => `${folder}${name}`;

/** What Keras gave for some inputs. */
export interface KerasGolden {
  readonly inputs: readonly (GoldenArray & {readonly dtype: 'float32' | 'int32'})[];
  readonly output: GoldenArray;
}

export const kerasGolden = (name: string) => readGolden(`keras/${name}/golden.json`) as KerasGolden;

export function inputsOf({inputs}: KerasGolden): tf.Tensor | tf.Tensor[] {
  const tensors = inputs.map(({dtype, ...array}) => goldenTensor(array, dtype));
  return tensors.length === 1 ? tensors[0]! : tensors;
}

/** The artifacts of a model as it is saved, through text, as a file would be. */
export async function savedArtifacts(model: tf.LayersModel): Promise<tf.io.ModelArtifacts> {
  let saved: tf.io.ModelArtifacts | undefined;
  await model.save(
    tf.io.withSaveHandler(artifacts => {
      saved = artifacts;
      return Promise.resolve({modelArtifactsInfo: {dateSaved: new Date(), modelTopologyType: 'JSON'}});
    }),
  );
  return {...saved, modelTopology: JSON.parse(JSON.stringify(saved!.modelTopology)) as object};
}
