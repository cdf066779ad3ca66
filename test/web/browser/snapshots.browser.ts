import {mkdtemp, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {expect} from 'chai';
import {type BrowserContext, type Page, chromium} from 'playwright-core';
import {type Plugin, type ViteDevServer, createServer} from 'vite';
import {storeRecipe} from '../../support/page_code.js';
import {chromiumPath, chromiumSwitches, noChromium, patience} from '../../support/chromium.js';
import {skip} from '../../support/skip.js';
import {isolationHeaders} from './support.js';

// IndexedDB and the origin private file system of a real browser: what was saved is there when the page, and when the browser,
// comes again.

/** Serves the recipes of docs/SNAPSHOTS.md as modules; see recipes.d.ts. */
const recipes: Plugin = {
  name: 'recipes',
  resolveId: id => (id.startsWith('recipe:') ? id : undefined),
  load: async id => {
    const [, containing] = /^recipe:(.*)[.]ts$/.exec(id) ?? [];
    return containing === undefined ? undefined : `${await storeRecipe(containing)}\nexport {store};`;
  },
};

for (const isolated of [false, true]) {
  describe(`a snapshot in the stores of a browser, ${isolated ? 'from memory that threads share' : 'from memory of one thread'}`, () => {
    let server: ViteDevServer | undefined;
    let profile = '';
    let context: BrowserContext | undefined;

    before(async function () {
      if (chromiumPath === undefined) skip(this, noChromium);
      profile = await mkdtemp(join(tmpdir(), 'eigenkv-profile-'));
      server = await createServer({
        root: fileURLToPath(new URL('../../../', import.meta.url)),
        configFile: false,
        logLevel: 'error',
        cacheDir: 'node_modules/.vite-snapshot-tests',
        // all at once: a dependency that is found later would load the page anew
        optimizeDeps: {
          noDiscovery: true,
          include: ['@tensorflow/tfjs', '@tensorflow/tfjs-backend-wasm', 'idb-keyval', 'valibot'],
        },
        plugins: [recipes],
        resolve: {alias: {eigenkv: fileURLToPath(new URL('../../../src/index.ts', import.meta.url))}},
        server: {
          ...{host: '127.0.0.1', port: 0, hmr: false, watch: null},
          headers: isolated ? {...isolationHeaders} : {},
        },
      });
      await server.listen();
    });
    after(async () => {
      await context?.close();
      await server?.close();
      if (profile !== '') await rm(profile, {recursive: true, force: true});
    });

    it('is restored after a reload and by a new browser, and goes on with the same tokens', async () => {
      const first = await open();
      expect(await first.evaluate(() => crossOriginIsolated)).to.equal(isolated);
      const expected = await first.evaluate(() => globalThis.saveAndGoOn());
      expect(new Set(expected).size, 'a text that says something').to.be.above(10);

      await first.reload();
      await ready(first);
      const reloaded = await first.evaluate(() => globalThis.restoreAndGoOn());
      expect(reloaded).to.deep.equal({indexedDb: expected, opfs: expected, unknown: [undefined, undefined]});

      await context!.close();
      const second = await open();
      const reopened = await second.evaluate(() => globalThis.restoreAndGoOn());
      expect(reopened).to.deep.equal(reloaded);
    });

    /** The page, in a browser that finds what the one before it left. */
    async function open(): Promise<Page> {
      const options = {executablePath: chromiumPath!, args: chromiumSwitches, timeout: patience};
      context = await chromium.launchPersistentContext(profile, options);
      context.setDefaultTimeout(patience);
      const page = context.pages()[0] ?? (await context.newPage());
      await page.goto(`${server!.resolvedUrls!.local[0]}test/web/browser/snapshots.html`);
      await ready(page);
      return page;
    }

    const ready = (page: Page) => page.waitForFunction(() => typeof globalThis.restoreAndGoOn === 'function');
  });
}
