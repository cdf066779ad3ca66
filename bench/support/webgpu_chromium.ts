import {chromium} from 'playwright-core';
import {chromiumPath, chromiumSwitches, noChromium, patience} from '../../test/support/chromium.js';
import {serveRepository} from '../../test/ops/webgpu/browser/serve.js';
import type {WebgpuFeature} from '../../ops/backends/webgpu_features.js';
import type {Report} from './webgpu_report.js';

/** `attentionReport` in a page of headless Chromium. */
export async function benchInChromium(
  lengths: readonly number[],
  features: readonly WebgpuFeature[],
  say: (line: string) => void,
): Promise<Omit<Report, 'tokens'>> {
  if (chromiumPath === undefined) throw new Error(noChromium);
  const isSoftware = process.env['CHROMIUM_SOFTWARE'] !== undefined;
  const args = isSoftware
    ? chromiumSwitches
    : ['--no-sandbox', '--enable-unsafe-webgpu', '--enable-features=Vulkan'];
  const server = await serveRepository();
  const browser = await chromium.launch({executablePath: chromiumPath, args, timeout: patience});
  try {
    const page = await browser.newPage();
    page.setDefaultTimeout(patience);
    const ended = new Promise<Omit<Report, 'tokens'>>((resolve, reject) => {
      page.on('pageerror', reject);
      void page.exposeFunction('reportLine', say);
      void page.exposeFunction('reportEnd', resolve);
    });
    await page.goto(
      `${server.resolvedUrls!.local[0]!}bench/support/webgpu_page.html?tokens=${lengths.join()}&features=${features.join()}`,
    );
    return await ended;
  } finally {
    await browser.close();
    await server.close();
  }
}
