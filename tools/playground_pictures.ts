/**
 * Takes the pictures of the playground in docs/images: `npm run web:build && npm run web:pictures`. Needs Chromium, and a machine that does
 * nothing else, since they show speeds. (Those there have a palette of 256 colours: Pillow, `quantize(256)`.)
 */
import {fileURLToPath} from 'node:url';
import {type BrowserContextOptions, chromium} from 'playwright-core';
import {chromiumPath, chromiumSwitches, noChromium} from '../test/support/chromium.js';
import {Visitor, builtPage} from '../test/web/browser/support.js';
import {serveFolder} from './package_check/serve.js';

interface Picture {
  readonly name: string;
  readonly context: BrowserContextOptions;
  /** What it ends below. Default: the whole page. */
  readonly until?: (visitor: Visitor) => Promise<number>;
}

const desk = {viewport: {width: 1180, height: 900}};
const pictures: readonly Picture[] = [
  {
    name: 'playground',
    context: {...desk, colorScheme: 'light'},
    until: async ({page}) => {
      const box = await page.locator('section[aria-labelledby=writing-title]').boundingBox();
      return box!.y + box!.height + 8;
    },
  },
  {name: 'playground_dark', context: {...desk, colorScheme: 'dark'}},
  {
    name: 'playground_phone',
    context: {viewport: {width: 390, height: 844}, deviceScaleFactor: 1.5, isMobile: true, hasTouch: true},
    until: () => Promise.resolve(1900),
  },
];

if (chromiumPath === undefined) throw new Error(noChromium);
const browser = await chromium.launch({executablePath: chromiumPath, args: chromiumSwitches});
const host = await serveFolder(builtPage, true);
try {
  for (const {name, context, until} of pictures) {
    const visitor = await Visitor.open(browser, host.url, context);
    await visitor.sees('measures', /Perplexity/);
    await visitor.waitsForTheEnd();
    const height = await until?.(visitor);
    const path = fileURLToPath(new URL(`../docs/images/${name}.png`, import.meta.url));
    const clip = height && {x: 0, y: 0, width: context.viewport!.width, height: Math.round(height)};
    await visitor.page.screenshot({path, fullPage: true, ...(clip && {clip})});
    await visitor.leaves();
    console.log(`docs/images/${name}.png`);
  }
} finally {
  host.close();
  await browser.close();
}
