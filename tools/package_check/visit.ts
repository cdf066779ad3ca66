import {chromium} from 'playwright-core';
import {chromiumPath, chromiumSwitches} from '../../test/support/chromium.js';

/** Generous: the machine may do much else, and Vite's server prepares what it serves first. */
const timeoutMs = 300_000;

/** A browser that looks at README's page. */
export interface Visits {
  /**
   * Waits until the page has written its text.
   * @returns what there was to see, in words.
   * @throws Error if it does not, or the console shows an error or a warning of ours.
   */
  visit(url: string, isolated: boolean): Promise<string>;
  close(): Promise<void>;
}

/** Undefined if there is no Chromium. */
export async function openChromium(): Promise<Visits | undefined> {
  if (chromiumPath === undefined) return undefined;
  const browser = await chromium.launch({executablePath: chromiumPath, args: chromiumSwitches});
  return {
    close: () => browser.close(),
    async visit(url, isolated) {
      const context = await browser.newContext();
      const page = await context.newPage();
      const complaints: string[] = [];
      const builds = new Set<string>();
      let failed: (error: Error) => void = () => undefined;
      const failure = new Promise<never>((_, reject) => (failed = reject));
      page.on('pageerror', error => failed(error));
      page.on('console', message => {
        if (['error', 'warning'].includes(message.type())) complaints.push(message.text());
      });
      page.on('request', request => {
        if (/\.wasm$/.test(request.url())) builds.add(request.url().split('/').at(-1)!);
      });
      await page.goto(url);
      const written = page.waitForFunction(
        () => document.title.endsWith('times smaller than float32'),
        undefined,
        {
          timeout: timeoutMs,
        },
      );
      await Promise.race([written, failure]).catch((error: unknown) => {
        throw new Error(`${url} did not write its text: ${String(error)}\n${complaints.join('\n')}`);
      });
      const seen = await page.evaluate(() => ({
        isolated: crossOriginIsolated,
        title: document.title,
        text: document.body.innerText,
      }));
      await context.close();
      if (complaints.length > 0) throw new Error(`${url} complains:\n${complaints.join('\n')}`);
      if (seen.isolated !== isolated) throw new Error(`${url}: cross-origin isolated is ${seen.isolated}.`);
      if (seen.text.length < 100) throw new Error(`${url} wrote only: ${seen.text}`);
      if (!(Number.parseFloat(seen.title.split(', ')[1] ?? '') > 2))
        throw new Error(`${url} compresses little: ${seen.title}`);
      if (builds.size !== 1) throw new Error(`${url} asked for ${[...builds].join(', ')}.`);
      return `${isolated ? 'isolated' : 'not isolated'}: ${seen.title}`;
    },
  };
}
