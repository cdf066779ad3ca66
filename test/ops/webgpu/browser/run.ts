/**
 * `npm run test:webgpu [-- FILES]`: tests of WebGPU kernels in headless Chromium, on its software driver (SwiftShader).
 *
 * By default every shader and every policy in cases that were chosen, in a few minutes; `-- test/ops/*.test.ts` are the random
 * cases of the ops. The same files run in Node on Dawn (docs/backends/webgpu.md); Vite serves them from 127.0.0.1. Where there
 * is no Chromium, says so and passes: CHROMIUM=/path/to/chromium names one that is not in a usual place.
 */
import {fileURLToPath} from 'node:url';
import {chromium} from 'playwright-core';
import {createServer} from 'vite';
import {chromiumPath, chromiumSwitches, noChromium, patience} from '../../../support/chromium.js';

const chosenFiles = [
  'test/ops/linalg/eigh.test.ts',
  'test/ops/linalg/factors.test.ts',
  'test/ops/linalg/svd.test.ts',
  'test/ops/webgpu/attention.test.ts',
  'test/ops/webgpu/codes.test.ts',
  'test/ops/webgpu/limits.test.ts',
  'test/ops/webgpu/lost_device.test.ts',
  'test/ops/webgpu/weights.test.ts',
  'test/cache/policies_on_webgpu.test.ts',
];

if (chromiumPath === undefined) {
  console.log(`WebGPU in a browser: ${noChromium}`);
} else {
  process.exitCode = (await testIn(chromiumPath)) ? 0 : 1;
}

/** Whether all tests passed, and there were some. */
async function testIn(executablePath: string): Promise<boolean> {
  const root = fileURLToPath(new URL('../../../../', import.meta.url));
  const server = await createServer({
    root,
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
  await server.listen();
  const browser = await chromium.launch({executablePath, args: chromiumSwitches, timeout: patience});
  try {
    const page = await browser.newPage();
    page.setDefaultTimeout(patience);
    const ended = new Promise<{passed: number; failed: number}>((resolve, reject) => {
      page.on('pageerror', reject);
      void page.exposeFunction('reportLine', (line: string) => console.log(line));
      void page.exposeFunction('reportEnd', (passed: number, failed: number) => resolve({passed, failed}));
    });
    const url = server.resolvedUrls!.local[0]!;
    const given = process.argv.slice(2);
    const query = (given.length > 0 ? given : chosenFiles).map(file => `file=${file}`).join('&');
    await page.goto(`${url}test/ops/webgpu/browser/page.html?${query}`);
    const {passed, failed} = await ended;
    console.log(`WebGPU in Chromium ${browser.version()}: ${passed} passed, ${failed} failed`);
    return failed === 0 && passed > 0;
  } finally {
    await browser.close();
    await server.close();
  }
}
