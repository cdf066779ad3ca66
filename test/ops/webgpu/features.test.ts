import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {BackendError, InvalidArgumentError} from '../../../base/errors.js';
import {attend} from '../../../ops/attention/attend/index.js';
import {mergePartials} from '../../../ops/attention/merge_partials/index.js';
import {partialLogSum} from '../../../ops/attention/merge_partials/log_sum.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import type {DenseEncoding, Encoding} from '../../../ops/encodings/encoding.js';
import type {WebgpuFeature} from '../../../ops/backends/webgpu_features.js';
import {webgpuPrograms} from '../../../ops/backends/webgpu_programs.js';
import {rejection} from '../../base/files/rejection.js';
import {failOnShaderErrors, testBackends} from '../../support/backends.js';
import {gpuDevice, loseDevice} from '../../support/gpu_device.js';
import {expectAsOnCpu} from '../../support/on_both.js';
import {skip} from '../../support/skip.js';
import {expectClose} from '../../support/tensors.js';
import {cases, inputsOf} from './cases.js';

// attend normalised, since a partial's own sum may be large
const attended = ({queries, keys, values, options}: ReturnType<typeof inputsOf>) => {
  const partial = attend(queries, keys, values, options);
  return [mergePartials([partial]), partialLogSum([partial])];
};

describe('features of webgpu', () => {
  let former: string | undefined;
  before(() => {
    former = tf.getBackend();
  });
  after(async () => {
    await tf.setBackend(former ?? 'cpu');
  });
  const refused: [given: unknown, message: RegExp][] = [
    [['subgroup'], /features has "subgroup"; expected subgroups, shader-f16\. Did you mean "subgroups"/],
    [['f16', 'subgroups'], /features has "f16"/],
    [[16], /features has 16/],
    ['subgroups', /features = "subgroups"; expected an array of subgroups, shader-f16\./],
  ];
  for (const [given, message] of refused) {
    it(`are refused that nobody knows: ${JSON.stringify(given)}`, async () => {
      const error = await rejection(
        useBackend('webgpu', {features: given as readonly WebgpuFeature[]}),
        InvalidArgumentError,
      );
      expect(error.message).to.match(message);
    });
  }

  it('are nothing to other backends', async () => {
    expect(await notesOf(() => useBackend('cpu', {features: ['subgroups']}))).to.deep.equal([]);
  });
});

const chosen = [
  'dense, one query over many splits',
  'dense, causal, wide dims, tiles that end early',
  'dense, causal, most rows see nothing',
  'dense, capped, within a window over splits',
  'int8 by channel, int8 by token',
  'low rank in the space of latents',
  'low rank rebuilt and rotated at positions of each token',
];

for (const features of [['subgroups'], ['shader-f16'], ['subgroups', 'shader-f16']] as const) {
  const halves = features.some(name => name === 'shader-f16');
  describe(`webgpu with ${features.join(' and ')}`, function () {
    let former: string | undefined;
    before(async function () {
      if (!testBackends.includes('webgpu')) skip(this, 'no webgpu under test (EIGENKV_TEST_BACKENDS=webgpu)');
      former = tf.getBackend();
      await restart(features);
      if (features.some(name => !gpuDevice().features.has(name)))
        skip(this, "this GPU's adapter has them not");
    });
    after(async () => {
      if (!testBackends.includes('webgpu')) return;
      await restart([]);
      await tf.setBackend(former ?? 'cpu');
    });
    failOnShaderErrors();

    it('has a device that lacks nothing which tfjs asks for', async () => {
      const adapter = await navigator.gpu.requestAdapter();
      const device = gpuDevice();
      for (const name of [
        'maxStorageBufferBindingSize',
        'maxBufferSize',
        'maxComputeWorkgroupStorageSize',
      ] as const) {
        expect(device.limits[name], name).to.equal(adapter!.limits[name]);
      }
      expect(device.features.has('timestamp-query')).to.equal(adapter!.features.has('timestamp-query'));
      expect(webgpuPrograms()!.features).to.deep.equal(features);
    });

    for (const name of chosen) {
      it(`attends as the reference does: ${name}`, () =>
        expectAsOnCpu(() => inputsOf(cases[name]!), attended, halves ? 1e-3 : 1e-5));
    }

    it('attends to numbers that 16 bits hold as to all', () =>
      expectAsOnCpu(
        () => {
          const inputs = inputsOf(cases['dense, one query over many splits']!);
          return {...inputs, keys: inSteps(inputs.keys), values: inSteps(inputs.values)};
        },
        attended,
        1e-5,
      ));

    it('keeps NaN and infinities, and takes the largest number for those beyond', async () => {
      const values = tf.tensor4d([NaN, 1e6, -1e30, 3, Infinity, -Infinity], [1, 1, 1, 6]);
      const zeros = tf.zeros<tf.Rank.R4>([1, 1, 1, 6]);
      const dense = (data: tf.Tensor4D) => ({kind: 'dense', dim: 6, data}) as const;
      const partial = attend(zeros, dense(zeros), dense(values), {tokens: 1, scale: 1});
      const numbers = [...(await partial.data())];
      tf.dispose([values, zeros, partial]);
      const beyond = halves ? [65504, -65504] : [1e6, Math.fround(-1e30)];
      expect(numbers).to.deep.equal([NaN, ...beyond, 3, Infinity, -Infinity, 0, 1]);
    });

    it('has them again after its device was lost', async () => {
      await loseDevice();
      await useBackend('webgpu');
      for (const name of features) expect(gpuDevice().features.has(name), name).to.be.true;
      gpuDevice().pushErrorScope('validation');
    });
  });
}

describe('webgpu that started without features', function () {
  let former: string | undefined;
  before(async function () {
    if (!testBackends.includes('webgpu')) skip(this, 'no webgpu under test (EIGENKV_TEST_BACKENDS=webgpu)');
    former = tf.getBackend();
    await restart([]);
  });
  after(async () => {
    await tf.setBackend(former ?? 'cpu');
  });

  it('stays as it is, and a note says so once', async () => {
    const x = tf.tensor1d([1, 2, 3]);
    const notes = await notesOf(async () => {
      for (let i = 0; i < 2; i++) {
        await useBackend('webgpu', {features: ['subgroups']});
        await useBackend('cpu');
      }
      await useBackend('webgpu', {features: ['subgroups']});
    });
    expect(notes).to.have.length(1);
    expect(notes[0]).to.match(
      /no subgroups, since .* started without: call useBackend\('webgpu', \{features\}\) before/,
    );
    expect(gpuDevice().features.has('subgroups')).to.be.false;
    await expectClose(x, [1, 2, 3], 0);
    x.dispose();
  });
});

describe('navigator.gpu, while webgpu starts with features', function () {
  let former: string | undefined;
  before(async function () {
    if (!testBackends.includes('webgpu')) skip(this, 'no webgpu under test (EIGENKV_TEST_BACKENDS=webgpu)');
    former = tf.getBackend();
    await useBackend('webgpu');
  });
  afterEach(() => Reflect.deleteProperty(navigator.gpu, 'requestAdapter'));
  after(async () => {
    if (!testBackends.includes('webgpu')) return;
    await restart([]);
    await tf.setBackend(former ?? 'cpu');
  });

  /** Lets the page have a `requestAdapter` of its own. */
  const wrap = (change: (adapter: GPUAdapter) => GPUAdapter | null) => {
    const requestAdapter = navigator.gpu.requestAdapter.bind(navigator.gpu);
    const own = async (options?: GPURequestAdapterOptions) => {
      const adapter = await requestAdapter(options);
      return adapter && change(adapter);
    };
    navigator.gpu.requestAdapter = own;
    return own;
  };

  it('keeps a requestAdapter that the page has replaced, and adapters their requestDevice', async () => {
    const shared = (await navigator.gpu.requestAdapter())!;
    const own = wrap(() => shared);
    await restart(['subgroups']).catch(() => undefined); // Dawn makes one device of an adapter
    expect(navigator.gpu.requestAdapter).to.equal(own);
    expect(Object.hasOwn(shared, 'requestDevice')).to.be.false;
  });

  it('gives features to no device but the one that tfjs asks for', async () => {
    await loseDevice().catch(() => undefined);
    await useBackend('webgpu', {features: ['subgroups']});
    const adapter = await navigator.gpu.requestAdapter();
    const device = await adapter!.requestDevice();
    expect(device.features.has('subgroups')).to.be.false;
    expect(Object.hasOwn(navigator.gpu, 'requestAdapter')).to.be.false;
    device.destroy();
  });

  it('may have devices made with 16 bits by the page, which round nothing', async () => {
    await restart([]);
    await loseDevice();
    await useBackend('cpu');
    wrap(adapter => {
      const requestDevice = adapter.requestDevice.bind(adapter);
      const requiredFeatures = adapter.features.has('shader-f16') ? (['shader-f16'] as const) : [];
      adapter.requestDevice = descriptor => requestDevice({...descriptor, requiredFeatures});
      return adapter;
    });
    await useBackend('webgpu');
    const adapter = (await navigator.gpu.requestAdapter())!;
    expect(gpuDevice().features.has('shader-f16')).to.equal(adapter.features.has('shader-f16'));
    const values = tf.tensor4d([1e6], [1, 1, 1, 1]);
    const dense = {kind: 'dense', dim: 1, data: values} as const;
    const partial = attend(tf.zerosLike(values), dense, dense, {tokens: 1, scale: 1});
    expect([...(await partial.data())]).to.deep.equal([1e6, 0, 1]);
    tf.dispose([values, partial]);
  });

  it('asks for none of the features of a start that failed', async () => {
    await restart([]);
    await loseDevice();
    await useBackend('cpu');
    let asked = 0;
    wrap(adapter => (++asked > 1 ? null : adapter)); // tfjs fails after eigenkv has looked
    await rejection(useBackend('webgpu', {features: ['subgroups']}), BackendError);
    expect(asked).to.equal(2);
    Reflect.deleteProperty(navigator.gpu, 'requestAdapter');
    expect(tf.getBackend()).to.equal('cpu');
    await useBackend('webgpu');
    expect(gpuDevice().features.has('subgroups')).to.be.false;
  });

  it('is asked for what was given, whatever becomes of the array, with the priority that the backend had', async () => {
    await loseDevice();
    const features: WebgpuFeature[] = ['subgroups'];
    tf.engine().registryFactory['webgpu']!.priority = 7;
    const started = useBackend('webgpu', {features});
    features[0] = 'nonsense' as WebgpuFeature;
    await started;
    features.push('shader-f16');
    await loseDevice();
    await useBackend('webgpu');
    expect(gpuDevice().features.has('shader-f16')).to.be.false;
    expect(tf.engine().registryFactory['webgpu']!.priority).to.equal(7);
    tf.engine().registryFactory['webgpu']!.priority = 3;
  });

  it('is left alone where it is frozen, and the error says so', async () => {
    await loseDevice();
    await useBackend('cpu');
    const {gpu} = navigator;
    const frozen = Object.freeze({requestAdapter: () => gpu.requestAdapter()});
    Object.defineProperty(navigator, 'gpu', {value: frozen, configurable: true});
    try {
      const error = await rejection(useBackend('webgpu', {features: ['subgroups']}), BackendError);
      expect(error.message).to.match(/navigator.gpu is frozen.*call useBackend\('webgpu'\) without/);
    } finally {
      Object.defineProperty(navigator, 'gpu', {value: gpu, configurable: true});
    }
  });
});

/** Starts webgpu anew, with these features. */
async function restart(features: readonly WebgpuFeature[]): Promise<void> {
  await useBackend('webgpu');
  await loseDevice();
  await useBackend('webgpu', {features});
  tf.env().set('WEBGPU_CPU_FORWARD', false);
}

/** Numbers of an encoding in steps of 1/128, which 16 bits hold exactly. */
function inSteps(encoding: Encoding): DenseEncoding {
  const {data, ...dense} = encoding as DenseEncoding;
  return {...dense, data: tf.div(tf.round(tf.mul(data, 128)), 128)};
}

/** What the console is told meanwhile. */
async function notesOf(run: () => Promise<unknown>): Promise<string[]> {
  const {warn} = console;
  const notes: string[] = [];
  console.warn = (message: string) => notes.push(message);
  try {
    await run();
  } finally {
    console.warn = warn;
  }
  return notes;
}
