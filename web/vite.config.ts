import {fileURLToPath} from 'node:url';
import {type PluginOption, defineConfig} from 'vite';
import {bundleSizes, tfjsChunk} from './build/bundle_sizes.js';
import {leftOut} from './build/left_out.js';

const root = fileURLToPath(new URL('.', import.meta.url));
const outDir = fileURLToPath(new URL('./dist', import.meta.url));

/** What of node_modules is not tfjs or of tfjs: the libraries of the package and the page's own. */
const ownLibraries = ['@huggingface', 'preact', 'valibot'];

/** Of cross-origin isolation: threads may share memory. Hosts that send no such headers get public/isolation_worker.js. */
const isolation = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};

/** Static files that any host serves, under any path. */
export default defineConfig({
  root,
  base: './',
  resolve: {alias: {'@huggingface/jinja': fileURLToPath(new URL('./build/no_chats.ts', import.meta.url))}},
  worker: {
    format: 'es',
    plugins: () => [leftOut()],
    rolldownOptions: {
      output: {
        codeSplitting: {
          groups: [{name: tfjsChunk, test: new RegExp(`node_modules/(?!${ownLibraries.join('|')})`)}],
        },
      },
    },
  },
  build: {
    outDir,
    emptyOutDir: true,
    target: 'es2022',
    assetsInlineLimit: 0, // data: addresses would hide files from the sizes below
    chunkSizeWarningLimit: 2500, // tfjs
  },
  // all at once: what is found later would load the page anew
  optimizeDeps: {
    include: [
      ...['@tensorflow/tfjs', '@tensorflow/tfjs-backend-wasm', '@tensorflow/tfjs-backend-webgpu'],
      ...['@huggingface/tokenizers', 'valibot'],
    ],
  },
  server: {headers: isolation, fs: {allow: [fileURLToPath(new URL('..', import.meta.url))]}},
  preview: {headers: isolation},
  plugins: [leftOut(), printSizes()],
});

/** Says after a build how much there is to transfer. */
function printSizes(): PluginOption {
  return {
    name: 'eigenkv-print-sizes',
    apply: 'build',
    closeBundle() {
      const {own, tfjs, data} = bundleSizes(`${outDir}/assets`);
      const kilobytes = (bytes: number) => `${(bytes / 1000).toFixed(0)} kB`;
      console.log(
        `the page's own code ${kilobytes(own)} gzipped, TensorFlow.js ${kilobytes(tfjs)} gzipped, model and .wasm files ${kilobytes(data)}`,
      );
    },
  };
}
