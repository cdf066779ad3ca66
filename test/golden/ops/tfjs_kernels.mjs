// Writes tfjs_kernels.json: the names of the kernels that tfjs' backends register which the tests cannot always load.
// Run from this folder, where @tensorflow/tfjs-backend-webgpu and @tensorflow/tfjs-node are installed (docs/BACKENDS.md):
//   node tfjs_kernels.mjs
import {writeFileSync} from 'node:fs';
import util from 'node:util';
import * as tf from '@tensorflow/tfjs';

util.isNullOrUndefined ??= value => value == null; // tfjs-node calls it; gone from Node 24
globalThis.navigator ??= {}; // tfjs-backend-webgpu reads it as it is imported; its kernels are registered without a GPU, too
await import('@tensorflow/tfjs-backend-webgpu');
await import('@tensorflow/tfjs-node');

const namesOf = backend => tf.getKernelsForBackend(backend).map(({kernelName}) => kernelName).sort();
const golden = {
  what: `kernels of tfjs ${tf.version.tfjs}, by getKernelsForBackend, made by tfjs_kernels.mjs`,
  webgpu: namesOf('webgpu'),
  tensorflow: namesOf('tensorflow'),
};
writeFileSync(new URL('tfjs_kernels.json', import.meta.url), `${JSON.stringify(golden, null, 1)}\n`);
console.log(golden.what, golden.webgpu.length, golden.tensorflow.length);
