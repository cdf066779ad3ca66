import {expect} from 'chai';
import {existsSync} from 'node:fs';
import {fileURLToPath} from 'node:url';
import {ggufBytes} from '../../base/files/file_bytes.js';
import {patience} from '../../support/chromium.js';
import {stage} from './support.js';
import {skip} from '../../support/skip.js';

/** A trained model of 260,000 parameters, where this machine has it. */
const stories = fileURLToPath(
  new URL('../../../../shared/data/models/stories260K/stories260K-f32.gguf', import.meta.url),
);

describe('files given to the playground', () => {
  const {browser, url, visit: open} = stage();

  const visit = async () => {
    const visitor = await open('tokens=8&plan=9*quantized:groupSize=16,residual=0');
    await visitor.sees('parting', /write|part/);
    await visitor.waitsForTheEnd();
    return visitor;
  };

  for (const [what, bytes, message] of [
    ['a text', new TextEncoder().encode('This is no model, whatever its name says.'), /FormatError/],
    ['half a header', ggufBytes({keyCount: 40}), /FormatError/],
    ['nothing', new Uint8Array(0), /FormatError/],
    ['a model of another kind', ggufBytes({}), /ModelError/],
  ] as const) {
    it(`are refused with a clear message where they hold ${what}; the former model goes on`, async () => {
      const visitor = await visit();
      await visitor.page
        .locator('input[type=file]')
        .setInputFiles({name: 'broken.gguf', mimeType: '', buffer: Buffer.from(bytes)});
      await visitor.sees('notes', message);
      expect((await visitor.read('notes')).length).to.be.above(40);
      expect(await visitor.read('model')).to.match(/^embedded/);
      await visitor.page.getByRole('button', {name: 'Generate'}).click();
      await visitor.waitsForTheEnd();
      expect(await visitor.read('notes')).to.equal('');
      await visitor.leaves();
    });
  }

  it('are loaded where they hold a model, and left again', async function () {
    if (!existsSync(stories)) {
      skip(this, 'shared/data/models is not on this machine');
    }
    const visitor = await visit();
    await visitor.page.locator('input[type=file]').setInputFiles(stories);
    await visitor.sees('model', /5 depths/);
    await visitor.page.waitForURL(/plan=5\*/);
    await visitor.sees('parting', /write|part/);
    await visitor.page.getByRole('button', {name: 'Back to the embedded model'}).click();
    await visitor.sees('model', /^embedded/);
    await visitor.leaves();
  });

  it('may be too large for the tab: it says so, and begins anew without running at once', async () => {
    const context = await browser().newContext();
    context.setDefaultTimeout(patience);
    const page = await context.newPage();
    await page.addInitScript({path: fileURLToPath(new URL('poor_worker.mjs', import.meta.url))});
    await page.goto(url());
    await page.getByTestId('notes').filter({hasText: 'Out of memory. Close other tabs.'}).waitFor();
    await page.waitForFunction(() => document.title === 'loaded 2 times');
    await page.waitForURL(/live=off/);
    expect(await page.getByRole('button', {name: 'Generate'}).isEnabled()).to.equal(true);
    await context.close();
  });
});
