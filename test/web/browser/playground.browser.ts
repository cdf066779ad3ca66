import {readdirSync} from 'node:fs';
import {availableParallelism} from 'node:os';
import {expect} from 'chai';
import {bundleSizes} from '../../../web/build/bundle_sizes.js';
import {Visitor, builtPage, isolationHeaders, stage} from './support.js';

/** A short text and a small window, so that a run takes a second. */
const quick = 'tokens=24&plan=4*quantized:bits=4,groupSize=16,residual=0;5*sliding:window=12,sinks=2';

/** What the page says where it may have threads: one for each core, at most 8. */
const allThreads = new RegExp(`; ${Math.min(availableParallelism(), 8)} threads?$`);

for (const isolated of [false, true]) {
  describe(`the playground on wasm, ${isolated ? 'on a cross-origin-isolated page' : 'on any page'}`, () => {
    const {browser, visit} = stage(isolated ? isolationHeaders : {});

    it('loads the embedded model, writes with both caches and measures, all by itself', async () => {
      const visitor = await visit('tokens=40');
      await visitor.sees('model', /4\.4 M parameters, 9 depths, 2 key heads of 64/);
      await visitor.sees('measures', /Perplexity/);
      await visitor.sees('plan-bytes', /KiB/);
      await visitor.sees('full-speed', /^\d/);
      await visitor.sees('parting', /write|part/);
      expect(await visitor.read('plan-total')).to.match(/^\d\.\dx smaller than float32 at \d+ tokens$/);
      expect(await visitor.page.getByRole('table', {name: 'Rank of keys'}).getByRole('row').count()).to.equal(
        10,
      );
      const text = await visitor.read('full-text');
      expect(text).to.match(/^<s>I can listen no longer in silence/);
      expect(await visitor.page.title()).to.equal('eigenkv playground');
      await visitor.leaves();
    });

    it(`says how many threads it has: ${isolated ? 'all' : 'one'}`, async () => {
      const visitor = await visit(`${quick}&live=off`);
      await visitor.sees('model', isolated ? allThreads : /; 1 thread$/);
      await visitor.leaves();
    });

    it(`runs tfjs' build ${isolated ? 'of several threads, in memory that they share' : 'of one thread'}`, async () => {
      const visitor = await visit(quick);
      await visitor.sees('measures', /Perplexity/);
      expect(await visitor.page.evaluate(() => globalThis.crossOriginIsolated)).to.equal(isolated);
      const builds = [...visitor.files].filter(file => file.endsWith('.wasm'));
      expect(builds).to.have.length(1);
      expect(builds[0]).to.match(isolated ? /^tfjs-backend-wasm-threaded-simd-/ : /^tfjs-backend-wasm-simd-/);
      await visitor.leaves();
    });

    it('moves an edge by keys, and the numbers follow', async () => {
      const visitor = await visit(quick);
      await visitor.sees('measures', /Perplexity/);
      const before = {size: await visitor.read('plan-total'), bytes: await visitor.read('plan-bytes')};
      const edge = visitor.page.getByRole('separator', {name: 'Edge between bands A and B'});
      await edge.focus();
      await edge.press('ArrowDown');
      await edge.press('ArrowDown');
      expect(await edge.getAttribute('aria-valuenow')).to.equal('6');
      await edge.press('Home');
      expect(await edge.getAttribute('aria-valuetext')).to.equal('band B begins at depth 1');
      await visitor.page.waitForFunction(
        ([size, bytes]) =>
          document.querySelector('[data-testid=plan-total]')?.textContent !== size &&
          document.querySelector('[data-testid=plan-bytes]')?.textContent !== bytes,
        [before.size, before.bytes],
      );
      await visitor.leaves();
    });

    it('moves an edge by the pointer', async () => {
      const visitor = await visit(quick);
      await visitor.sees('model', /depths/);
      const edge = visitor.page.getByRole('separator');
      const {x, y, width, height} = (await edge.boundingBox())!;
      const row = (await visitor.page.getByTestId('stack').boundingBox())!.height / 9;
      await visitor.page.mouse.move(x + width / 2, y + height / 2);
      await visitor.page.mouse.down();
      await visitor.page.mouse.move(x + width / 2, y + height / 2 - 2 * row, {steps: 4});
      await visitor.page.mouse.up();
      expect(await edge.getAttribute('aria-valuenow')).to.equal('2');
      await visitor.leaves();
    });

    it('strikes what is evicted, by depth', async () => {
      const visitor = await visit(quick);
      await visitor.sees('measures', /Perplexity/);
      const struck = () => visitor.page.getByTestId('plan-text').locator('.held-0').count();
      expect(await struck()).to.be.above(50); // at the depth that lost most
      const depth = visitor.page.getByLabel('Depth whose evicted tokens are shown');
      expect(await depth.inputValue()).to.equal('4');
      await depth.selectOption('all');
      expect(await struck()).to.equal(0); // four depths hold every token
      await depth.selectOption('0');
      expect(await struck()).to.equal(0);
      await visitor.leaves();
    });

    it('keeps the setting in the address, which restores it', async () => {
      const visitor = await visit(quick);
      await visitor.sees('measures', /Perplexity/);
      await visitor.page.getByLabel('Policy of band B', {exact: true}).selectOption('float8');
      await visitor.page.getByRole('button', {name: 'Split band A'}).click();
      await visitor.page.getByLabel('Seed').fill('11');
      await visitor.page.getByLabel('Prompt').fill('Call me Ishmael & co. # 100 %');
      await visitor.page.waitForURL(/Ishmael/);
      const url = visitor.page.url();
      await visitor.leaves();
      const other = await Visitor.open(browser(), url);
      await other.sees('parting', /write|part/);
      expect(await other.page.getByLabel('Prompt').inputValue()).to.equal('Call me Ishmael & co. # 100 %');
      expect(await other.page.getByLabel('Seed').inputValue()).to.equal('11');
      expect(await other.page.getByLabel('Policy of band C', {exact: true}).inputValue()).to.equal('float8');
      expect(await other.page.getByRole('separator').count()).to.equal(2);
      expect(await other.read('plan-text')).to.contain('Call me Ishmael');
      await other.leaves();
    });

    it('says what of a link is nonsense, and goes on', async () => {
      const visitor = await visit('temperature=hot&plan=9*quantized:bits=7&tokens=8');
      await visitor.sees('notes', /temperature is ignored: "hot" is no number from 0 to 2/);
      await visitor.sees('notes', /plan is ignored: .*bits = 7; expected/);
      await visitor.sees('parting', /write|part/);
      await visitor.page.getByRole('button', {name: 'Dismiss'}).click();
      expect(await visitor.read('notes')).to.equal('');
      await visitor.leaves();
    });

    it('says at the band what is wrong with a policy, and runs nothing meanwhile', async () => {
      const visitor = await visit(quick);
      await visitor.sees('parting', /write|part/);
      const policy = visitor.page.getByLabel('Policy of band A as text');
      await policy.fill('quantized:bits=7');
      await policy.press('Enter');
      await visitor.page.getByText(/bits = 7; expected/).waitFor();
      expect(await policy.getAttribute('aria-invalid')).to.equal('true');
      expect(await visitor.page.getByRole('button', {name: 'Generate'}).isDisabled()).to.equal(true);
      await policy.fill('quantized:bits=2,groupSize=16');
      await policy.press('Enter');
      await visitor.page.getByRole('button', {name: 'Generate', disabled: false}).waitFor();
      await visitor.leaves();
    });

    it('stops when it is told to', async () => {
      const visitor = await visit('tokens=800&live=off');
      await visitor.sees('model', /depths/);
      await visitor.page.getByRole('button', {name: 'Generate'}).click();
      await visitor.sees('parting', /write|part/);
      await visitor.page.getByRole('button', {name: 'Stop'}).click();
      await visitor.waitsForTheEnd();
      const written = visitor.page.getByTestId('full-text').locator('.written > span');
      expect(await written.count()).to.be.within(1, 799);
      await visitor.leaves();
    });

    it('is readable on a phone: one column, nothing beside the screen', async () => {
      const visitor = await visit(quick, {
        viewport: {width: 360, height: 740},
        isMobile: true,
        hasTouch: true,
      });
      await visitor.sees('measures', /Perplexity/);
      expect(await visitor.page.evaluate(() => document.documentElement.scrollWidth)).to.be.at.most(360);
      const [full, plan] = [visitor.page.getByTestId('full-text'), visitor.page.getByTestId('plan-text')];
      expect((await plan.boundingBox())!.y).to.be.above((await full.boundingBox())!.y);
      await visitor.leaves();
    });

    it('is dark or light as the system is, or as the visitor wants', async () => {
      const visitor = await visit(`${quick}&live=off`, {colorScheme: 'dark'});
      await visitor.sees('model', /depths/);
      const isPaper = (colour: string) =>
        visitor.page.waitForFunction(
          wanted => getComputedStyle(document.body).backgroundColor === wanted,
          colour,
        );
      const [dark, light] = ['rgb(15, 18, 20)', 'rgb(246, 247, 248)'];
      await isPaper(dark);
      await visitor.page.getByRole('radio', {name: 'light'}).check();
      await isPaper(light);
      await visitor.page.reload();
      await visitor.sees('model', /depths/);
      await isPaper(light);
      await visitor.page.getByRole('radio', {name: 'auto'}).check();
      await isPaper(dark);
      await visitor.leaves();
    });
  });
}

describe('the playground on a host that sends no headers of isolation', () => {
  const {visit} = stage({}, () => undefined);

  it('is isolated by its service worker, after it loaded itself anew once, and stays so', async () => {
    const visitor = await visit(quick);
    await visitor.sees('model', allThreads);
    await visitor.sees('measures', /Perplexity/);
    expect(visitor.loads).to.equal(2);
    expect(await visitor.page.evaluate(() => globalThis.crossOriginIsolated)).to.equal(true);
    expect(visitor.page.url()).to.contain('tokens=24');
    await visitor.page.reload();
    await visitor.sees('model', allThreads);
    expect(visitor.loads).to.equal(3);
    await visitor.leaves();
  });
});

describe('the playground in a browser that allows no service workers', () => {
  const {visit} = stage({}, () => {
    navigator.serviceWorker.register = () => Promise.reject(new Error('a private window'));
  });

  it('goes on with one thread', async () => {
    const visitor = await visit(quick);
    await visitor.sees('model', /; 1 thread$/);
    await visitor.sees('measures', /Perplexity/);
    expect(visitor.loads).to.equal(1);
    await visitor.leaves();
  });
});

describe('the built playground', () => {
  it('is below 300 kB of code, gzipped, without TensorFlow.js and the model', () => {
    const {own, tfjs, data} = bundleSizes(`${builtPage}assets`);
    console.log(`      own code ${own} bytes gzipped, TensorFlow.js ${tfjs}, model and .wasm files ${data}`);
    expect(own).to.be.within(20_000, 300_000);
    expect(tfjs).to.be.above(200_000); // it is in its own chunk
    expect(readdirSync(`${builtPage}assets`).filter(name => name.includes('train_sample'))).to.deep.equal([]);
  });
});
