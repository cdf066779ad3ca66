import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {readFileSync} from 'node:fs';
import {loadKerasModel} from '../../../models/index.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {EigenkvError} from '../../../base/errors.js';
import {seededRandom} from '../../../base/random.js';
import {pathOf} from '../../support/keras_exports.js';

type Path = readonly (string | number)[];

/** The paths of all values in a JSON. */
function pathsIn(value: unknown, path: Path = []): Path[] {
  if (typeof value !== 'object' || value === null) return [path];
  return [path, ...Object.entries(value).flatMap(([key, inner]) => pathsIn(inner, [...path, key]))];
}

function replaced(value: unknown, [key, ...rest]: Path, by: unknown): unknown {
  if (key === undefined) return by;
  const copy = (Array.isArray(value) ? [...(value as unknown[])] : {...(value as object)}) as Record<
    string,
    unknown
  >;
  copy[key] = replaced(copy[key], rest, by);
  return copy;
}

const odd: readonly unknown[] = [
  null,
  -1,
  2.5,
  'x',
  '',
  [],
  {},
  [[1, 2]],
  true,
  1e9,
  {class_name: 'X', config: {}},
];

describe('loadKerasModel with a value of the topology replaced', () => {
  before(() => useBackend('wasm'));

  for (const name of ['mha_3', 'options_3', 'translation_2']) {
    it(`${name}: loads or throws an error of ours, and leaves nothing behind`, async () => {
      const json = JSON.parse(readFileSync(`${pathOf(name)}/model.json`, 'utf8')) as tf.io.ModelJSON;
      const weights = new Uint8Array(readFileSync(`${pathOf(name)}/group1-shard1of1.bin`)).buffer;
      const artifacts = await tf.io.getModelArtifactsForJSON(json, manifest =>
        Promise.resolve([manifest.flatMap(({weights: specs}) => specs), weights]),
      );
      const paths = pathsIn(artifacts.modelTopology);
      const random = seededRandom(3);
      const {numTensors} = tf.memory();
      let refused = 0;
      for (let i = 0; i < 150; i++) {
        const path = paths[Math.floor(random() * paths.length)]!;
        const by = odd[Math.floor(random() * odd.length)];
        const modelTopology = replaced(artifacts.modelTopology, path, by) as object;
        const what = `${path.join('.')} = ${JSON.stringify(by)}`;
        try {
          const model = await loadKerasModel({load: () => Promise.resolve({...artifacts, modelTopology})});
          model.dispose();
        } catch (error) {
          refused++;
          expect(error, `${what}: ${error instanceof Error ? (error.stack ?? '') : ''}`).to.be.instanceOf(
            EigenkvError,
          );
        }
        expect(tf.memory().numTensors, what).to.equal(numTensors);
      }
      expect(refused).to.be.above(20);
    });
  }
});
