import * as tf from '@tensorflow/tfjs';
import {
  backendNames,
  useBackend,
  type BackendName,
  type BackendOptions,
} from '../../ops/backends/use_backend.js';
import {checkFeatures, type WebgpuFeature} from '../../ops/backends/webgpu_features.js';
import './cpu_slice.js';
import {gpuDevice} from './gpu_device.js';

/**
 * The backends to test on: cpu and wasm, which every machine has, and those named in EIGENKV_TEST_BACKENDS
 * (`EIGENKV_TEST_BACKENDS=tensorflow,webgpu npx mocha`; docs/BACKENDS.md says what they need). EIGENKV_TEST_FEATURES=subgroups lets the
 * webgpu backend start with features.
 */
export const testBackends: readonly BackendName[] = [
  ...new Set(['cpu' as const, 'wasm' as const, ...further()]),
];

/** What `useBackend` is given besides a backend's name. */
const testOptions: BackendOptions = features();

/** A `describe` for each backend under test. That backend is current in it; the previous one is restored afterwards. */
export function describeOnBackends(
  name: string,
  body: (backend: BackendName) => void,
  backends: readonly BackendName[] = testBackends,
): void {
  for (const backend of backends) {
    describe(`${name} on ${backend}`, () => {
      let former: string | undefined;
      before(async () => {
        former = tf.getBackend();
        await useBackend(backend, testOptions);
        // tfjs' webgpu backend runs small tensors on cpu kernels, so the shaders would not be tested
        if (backend === 'webgpu') tf.env().set('WEBGPU_CPU_FORWARD', false);
      });
      after(async () => {
        await tf.setBackend(former ?? 'cpu');
      });
      if (backend === 'webgpu') failOnShaderErrors();
      body(backend);
    });
  }
}

/** For suites on webgpu. A shader that does not compile throws no error: its command buffer is refused, and the output keeps its old numbers. */
export function failOnShaderErrors(): void {
  beforeEach(() => gpuDevice().pushErrorScope('validation'));
  afterEach(async () => {
    const error = await gpuDevice().popErrorScope();
    if (error !== null) throw new Error(`WebGPU refused a program: ${error.message}`);
  });
}

function further(): BackendName[] {
  return listed('EIGENKV_TEST_BACKENDS').map(name => {
    const known = backendNames.find(backend => backend === name);
    if (known === undefined) {
      throw new Error(`EIGENKV_TEST_BACKENDS names "${name}"; known are ${backendNames.join(', ')}.`);
    }
    return known;
  });
}

function features(): BackendOptions {
  const names = listed('EIGENKV_TEST_FEATURES');
  return names.length === 0 ? {} : {features: checkFeatures(names as WebgpuFeature[])};
}

/** What a variable of the environment lists. */
function listed(variable: string): string[] {
  const names = (process.env[variable] ?? '').split(',').map(name => name.trim());
  return names.filter(name => name !== '');
}
