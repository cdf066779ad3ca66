/**
 * `npm run test:webgpu [-- FILES]`: tests of WebGPU kernels in headless Chromium, on its software driver (SwiftShader).
 *
 * By default every shader and every policy in cases that were chosen, in a few minutes; `-- test/ops/*.test.ts` are the random
 * cases of the ops. The same files run in Node on Dawn (docs/backends/webgpu.md); Vite serves them from 127.0.0.1. Where there
 * is no Chromium, says so and passes: CHROMIUM=/path/to/chromium names one that is not in a usual place.
 */
import {chromium} from 'playwright-core';
import {chromiumPath, chromiumSwitches, noChromium, patience} from '../../../support/chromium.js';
import {serveRepository} from './serve.js';

const chosenFiles = [
  'test/ops/linalg/eigh.test.ts',
  'test/ops/linalg/factors.test.ts',
  'test/ops/linalg/svd.test.ts',
  'test/ops/webgpu/attention.test.ts',
  'test/ops/webgpu/codes.test.ts',
  'test/ops/webgpu/features.test.ts',
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
  const server = await serveRepository();
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
