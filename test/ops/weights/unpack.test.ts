import * as tf from '@tensorflow/tfjs';
import fc from 'fast-check';
import {type PackedFormat, packedFormats} from '../../../ops/weights/formats.js';
import {unpack} from '../../../ops/unpack/index.js';
import {describeOnKernelBuilds} from '../../support/kernel_builds.js';
import {packedMatrix} from '../../support/packed_matrix.js';
import {withReference} from '../../support/reference.js';
import {withScratchGuards} from '../../support/scratch_guards.js';
import {expectClose, expectNoLeak} from '../../support/tensors.js';

const cases = fc.record({
  format: fc.constantFrom(...(Object.keys(packedFormats) as PackedFormat[])),
  inputs: fc.integer({min: 1, max: 70}),
  outputs: fc.integer({min: 1, max: 40}),
  seed: fc.integer(),
});

describeOnKernelBuilds('unpack', () => {
  it('gives the numbers of its reference, bit for bit', () =>
    fc.assert(
      fc.asyncProperty(cases, async ({format, inputs, outputs, seed}) => {
        const {matrix} = packedMatrix(format, inputs, outputs, seed);
        const unpacked = withScratchGuards(() => unpack(matrix));
        const reference = withReference('Unpack', () => unpack(matrix));
        await expectClose(unpacked, reference, 0);
        tf.dispose([matrix.records, unpacked, reference]);
      }),
      {numRuns: 200},
    ));

  it('leaks nothing', async () => {
    const {matrix} = packedMatrix('packed8By16', 33, 9, 1);
    await expectNoLeak(() => unpack(matrix));
    matrix.records.dispose();
  });
});
