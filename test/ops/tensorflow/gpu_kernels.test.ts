import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {KVCache} from '../../../cache/kv_cache.js';
import {makePolicy} from '../../../cache/policies/as_policy.js';
import {embed} from '../../../ops/embed/index.js';
import {eigh, qr, svd} from '../../../ops/linalg/index.js';
import {linear} from '../../../ops/linear/index.js';
import {rmsNorm} from '../../../ops/rms_norm/index.js';
import {swigluLinear} from '../../../ops/swiglu_linear/index.js';
import {packedFormats, type PackedFormat} from '../../../ops/weights/formats.js';
import {policyVariants, variantName} from '../../cache/variants.js';
import {describeOnBackends, testBackends} from '../../support/backends.js';
import {readGolden} from '../../support/golden.js';
import {packedMatrix} from '../../support/packed_matrix.js';
import {recordOps, type RecordedOp, type Recording} from './recorded_ops.js';

/** What TensorFlow's registry says of an op (test/golden/ops/tensorflow_gpu_kernels.py). */
interface RegisteredOp {
  readonly inputs: readonly Argument[];
  readonly outputs: readonly Argument[];
  readonly kernels: readonly {
    readonly types: Readonly<Record<string, readonly string[]>>;
    /** Inputs and outputs that the kernel has in the host's memory. */
    readonly host?: readonly string[];
  }[];
}

/** `type` is a dtype, or the attribute that is one; if there is a `number`, it is a list of tensors. */
interface Argument {
  readonly name: string;
  readonly type: string;
  readonly number?: string;
}

const registry = (readGolden('ops/tensorflow_gpu_kernels.json') as {ops: Record<string, RegisteredOp>}).ops;

/** TensorFlow's numbers of dtypes (tensorflow/c/tf_datatype.h). */
const dtypes: Record<number, string> = {
  ...{
    1: 'float32',
    2: 'float64',
    3: 'int32',
    4: 'uint8',
    5: 'int16',
    6: 'int8',
    9: 'int64',
    10: 'bool',
    14: 'bfloat16',
  },
  ...{17: 'uint16', 19: 'float16', 22: 'uint32'},
};

/** Shapes, axes and sizes of slices are no data. */
const mostHostNumbers = 16;

/** Why an op could not run on a GPU with its data in the GPU's memory; undefined if it could. */
function faultOf(call: RecordedOp): string | undefined {
  const {op, inputs, outputs} = call;
  const registered = registry[op];
  if (registered === undefined) return `${op} is not in test/golden/ops/tensorflow_gpu_kernels.json`;
  const types: Record<string, string> = {};
  for (const [name, dtype] of Object.entries(call.types)) types[name] = dtypes[dtype]!;
  const tensors = new Map<string, RecordedOp['inputs']>();
  const matched = (list: readonly Argument[], given: RecordedOp['inputs']): void => {
    let first = 0;
    for (const {name, type, number} of list) {
      const own = given.slice(first, first + (number === undefined ? 1 : given.length - list.length + 1)); // one is a list at most
      first += own.length;
      tensors.set(name, own);
      types[type] ??= dtypes[own[0]!.dtype]!;
    }
  };
  matched(registered.inputs, inputs);
  matched(registered.outputs, outputs);
  const signature = `${op} (${inputs.map(({dtype}) => dtypes[dtype]).join(', ')})`;
  const fitting = registered.kernels.filter(kernel =>
    Object.entries(kernel.types).every(([name, allowed]) => allowed.includes(types[name]!)),
  );
  if (fitting.length === 0) return `${signature} has no kernel for GPUs`;
  const onHost = (fitting[0]!.host ?? []).filter(name =>
    tensors.get(name)!.some(({shape}) => shape.reduce((a, b) => a * b, 1) > mostHostNumbers),
  );
  return onHost.length === 0 ? undefined : `${signature} has ${onHost.join(', ')} in the host's memory`;
}

const faultsOf = ({ops}: Recording): string[] => [
  ...new Set(ops.map(faultOf).filter(fault => fault !== undefined)),
];

/** Numbers that TensorFlow computed itself: those of the host would be uploaded, and never be read back. */
const computed = (shape: [number, number, number, number]) => tf.add<tf.Tensor4D>(tf.randomNormal(shape), 0);

/** What reads numbers in a step, on purpose: see docs/backends/tensorflow.md. */
const readers: Readonly<Record<string, string>> = {
  adaptive: 'decides by the error of a trial',
};

const onTensorflow = testBackends.filter(backend => backend === 'tensorflow');

describeOnBackends(
  'TensorFlow',
  () => {
    for (const variant of policyVariants) {
      it(`decodes tokens by kernels that GPUs have: ${variantName(variant)}`, () => {
        const shape = {depth: 0, heads: 6, kvHeads: 2, dim: 16, dimV: 16};
        const cache = new KVCache([shape], makePolicy(variant));
        const step = (tokens: number) =>
          tf.tidy(() => {
            const x = (heads: number) => computed([1, heads, tokens, 16]);
            cache.attend(0, {queries: x(6), keys: x(2), values: x(2), rope: {theta: 100}});
          });
        const recording = recordOps(() => {
          step(30);
          for (let token = 0; token < 40; token++) step(1);
        });
        cache.dispose();
        expect(recording.ops.length).to.be.above(0);
        expect(faultsOf(recording)).to.deep.equal([]);
        if (readers[variant.name] === undefined) expect(recording.reads).to.deep.equal([]);
      });
    }

    for (const format of Object.keys(packedFormats) as PackedFormat[]) {
      it(`multiplies by ${format} weights by kernels that GPUs have`, () => {
        const {matrix} = packedMatrix(format, 64, 24, 1);
        const ids = tf.cast(tf.add(tf.zeros([1, 3]), 5), 'int32') as tf.Tensor2D;
        const x = tf.add(tf.ones([1, 64]), 0);
        const recording = recordOps(() => {
          tf.tidy(() => {
            linear(x, matrix);
            swigluLinear(rmsNorm(x, tf.ones([64]), 1e-6), matrix, matrix);
            embed(ids, matrix);
          });
        });
        tf.dispose([ids, x, matrix.records]);
        expect(faultsOf(recording)).to.deep.equal([]);
      });
    }

    for (const [name, decompose] of Object.entries({eigh, svd, qr})) {
      it(`decomposes by kernels that GPUs have: ${name}`, () => {
        const x = tf.add<tf.Tensor3D>(tf.randomNormal([3, 8, 8]), 0);
        const recording = recordOps(() => {
          tf.dispose(decompose(x));
        });
        x.dispose();
        expect(recording.ops.length).to.be.above(0);
        expect(recording.reads).to.deep.equal([]);
        // TensorFlow registers its kernel for CPUs for GPUs, too
        const onHost = name === 'qr' ? ["Qr (float64) has input, q, r in the host's memory"] : [];
        expect(faultsOf(recording)).to.deep.equal(onHost);
      });
    }
  },
  onTensorflow,
);
