import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {disposingNewVariables} from '../../../ops/backends/dispose_new_variables.js';
import {openMemory} from '../../../ops/backends/write_in_place.js';
import {describeOnBackends} from '../../support/backends.js';
import {heapMemory} from '../../support/heap_memory.js';
import {expectNoLeak} from '../../support/tensors.js';

/** A layer's variable as far as writing needs it. */
function variableOf(initial: tf.Tensor) {
  const variable = tf.variable(initial);
  initial.dispose();
  return {
    read: () => variable,
    write: (value: tf.Tensor) => {
      variable.assign(value);
      return undefined as unknown as tf.LayerVariable;
    },
  };
}

describeOnBackends('openMemory', backend => {
  for (const dtype of ['float32', 'int32'] as const) {
    it(`writes ${dtype} piece by piece, and leaves nothing`, async () => {
      await expectNoLeak(async () => {
        const variable = variableOf(tf.zeros([3, 4], dtype));
        const memory = openMemory(variable);
        for (let row = 2; row >= 0; row--) {
          await Promise.resolve();
          memory.withBytes(({buffer, byteOffset, byteLength}) => {
            const numbers =
              dtype === 'int32'
                ? new Int32Array(buffer, byteOffset, byteLength / 4)
                : new Float32Array(buffer, byteOffset, byteLength / 4);
            expect(numbers.length).to.equal(12);
            numbers.set(
              [1, 2, 3, 4].map(x => x - 100 * row),
              4 * row,
            );
          });
        }
        memory.close();
        expect([...(await variable.read().data())]).to.deep.equal([
          1, 2, 3, 4, -99, -98, -97, -96, -199, -198, -197, -196,
        ]);
        variable.read().dispose();
      });
    });
  }

  if (backend === 'wasm') {
    it('finds the memory again after the heap has grown', async () => {
      const variable = variableOf(tf.zeros([2], 'int32'));
      const memory = openMemory(variable);
      const before = heapMemory().buffer.byteLength;
      const large = tf.zeros([before / 4]);
      expect(heapMemory().buffer.byteLength).to.be.above(before);
      memory.withBytes(bytes => {
        bytes[4] = 7;
      });
      memory.close();
      expect([...(await variable.read().data())]).to.deep.equal([0, 7]);
      tf.dispose([large, variable.read()]);
    });
  }
});

describe('disposingNewVariables', () => {
  it('disposes of the variables of what failed, and of no others', () => {
    const former = tf.variable(tf.scalar(1));
    const {numTensors} = tf.memory();
    expect(() =>
      disposingNewVariables(() => {
        tf.layers.dense({units: 3, inputShape: [2]}).build([null, 2]);
        throw new Error('no room');
      }),
    ).to.throw('no room');
    expect(tf.memory().numTensors).to.equal(numTensors);
    expect(disposingNewVariables(() => former.isDisposed)).to.equal(false);
    former.dispose();
  });
});
