import {fileURLToPath} from 'node:url';
import {type ViteDevServer, createServer} from 'vite';

/** The repository on 127.0.0.1, its TypeScript compiled as it is asked for: what a page imports is what Node runs. */
export async function serveRepository(): Promise<ViteDevServer> {
  const server = await createServer({
    root: fileURLToPath(new URL('../../../../', import.meta.url)),
    configFile: false,
    logLevel: 'error',
    cacheDir: 'node_modules/.vite-webgpu-tests',
    resolve: {alias: {'node:fs': fileURLToPath(new URL('files.ts', import.meta.url))}},
    // all at once: a dependency that is found later would load the page anew
    optimizeDeps: {
      noDiscovery: true,
      include: [
        '@tensorflow/tfjs',
        '@tensorflow/tfjs-backend-wasm',
        '@tensorflow/tfjs-backend-webgpu',
        ...['chai', 'fast-check', 'ml-matrix', 'valibot'],
      ],
    },
    server: {host: '127.0.0.1', port: 0, hmr: false, watch: null},
  });
  return server.listen();
}
