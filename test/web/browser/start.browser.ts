import {fileURLToPath} from 'node:url';
import {expect} from 'chai';
import type {Browser, Page} from 'playwright-core';
import {type ViteDevServer, createServer} from 'vite';
import type {Threads} from '../../../ops/backends/heap_threads.js';
import {isolationHeaders, launchOrSkip} from './support.js';

// How backends start in a browser: where tfjs' files are found, memory that is shared or not, pages that forbid some of it.

const tfjsFolder = '/node_modules/@tensorflow/tfjs-backend-wasm/dist/';
const simdFile = '@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm-simd.wasm';
const notIsolated = {};

describe('useBackend in a browser', () => {
  let browser: Browser | undefined;
  let server: ViteDevServer | undefined;

  before(async function () {
    browser = await launchOrSkip(this);
    server = await createServer({
      root: fileURLToPath(new URL('../../../', import.meta.url)),
      configFile: false,
      logLevel: 'error',
      cacheDir: 'node_modules/.vite-start-tests',
      // all at once: a dependency that is found later would load the page anew
      optimizeDeps: {
        noDiscovery: true,
        include: ['@tensorflow/tfjs', '@tensorflow/tfjs-backend-wasm', 'valibot'],
      },
      server: {host: '127.0.0.1', port: 0, hmr: false, watch: null},
    });
    await server.listen();
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });

  /** The page with such headers, its warnings, and what it asks the server for. */
  async function open(headers: Readonly<Record<string, string>>) {
    const page = await (await browser!.newContext()).newPage();
    const said: string[] = [];
    const files: string[] = [];
    page.on('console', message => said.push(message.text()));
    page.on('request', request => files.push(new URL(request.url()).pathname.split('/').at(-1)!));
    const url = `${server!.resolvedUrls!.local[0]}test/web/browser/start.html`;
    // workers need the headers of their page
    await page.route(/start\.html|start_page\.ts\?/, async route => {
      const response = await route.fetch();
      await route.fulfill({response, headers: {...response.headers(), ...headers}});
    });
    await page.goto(url);
    await page.waitForFunction(() => typeof globalThis.start === 'function');
    return {page, said, files};
  }

  const startWasm = (page: Page, wasmPaths?: string) =>
    page.evaluate(
      paths => globalThis.start('wasm', paths === undefined ? {} : {wasmPaths: paths}),
      wasmPaths,
    );

  for (const [what, headers, build] of [
    ['any page', notIsolated, 'tfjs-backend-wasm-simd.wasm'],
    ['a cross-origin-isolated page', isolationHeaders, 'tfjs-backend-wasm-threaded-simd.wasm'],
  ] as const) {
    it(`finds tfjs' files by itself on ${what}, and its ops are fused`, async () => {
      const {page, said, files} = await open(headers);
      expect(await startWasm(page)).to.deep.equal({});
      const fused = await page.evaluate(() => globalThis.compute());
      expect(fused).to.include({fused: true, sharedMemory: headers === isolationHeaders});
      expect(new Set(files.filter(file => file.endsWith('.wasm')))).to.deep.equal(new Set([build]));
      await page.evaluate(() => globalThis.start('cpu'));
      const plain = await page.evaluate(() => globalThis.compute());
      expect(plain.fused).to.equal(false);
      const differences = fused.outputs.map((x, i) => Math.abs(x - plain.outputs[i]!));
      expect(Math.max(...differences)).to.be.lessThan(1e-5);
      expect(said.filter(text => text.startsWith('eigenkv'))).to.deep.equal([]);
      await page.context().close();
    });
  }

  it('may be called again before it is done', async () => {
    const {page} = await open(isolationHeaders);
    const starts = await page.evaluate(() =>
      Promise.all([
        globalThis.start('wasm'),
        globalThis.start('wasm'),
        globalThis.start('cpu'),
        globalThis.start('wasm'),
      ]),
    );
    expect(starts).to.deep.equal([{}, {}, {}, {}]);
    expect(await page.evaluate(() => globalThis.compute())).to.include({fused: true, sharedMemory: true});
    await page.context().close();
  });

  it('names the address that failed, and takes another one on the same page', async () => {
    const {page} = await open(notIsolated);
    const {error} = await startWasm(page, '/no/such/');
    expect(error?.name).to.equal('BackendError');
    expect(error?.message)
      .to.match(
        /does not find tfjs-backend-wasm-simd\.wasm: \/no\/such\/tfjs-backend-wasm-simd\.wasm answers /,
      )
      .and.match(/useBackend\('wasm', \{wasmPaths: '\/that\/folder\/'\}\)/);
    const {error: page404} = await startWasm(page, '/test/web/browser/start.html?');
    expect(page404?.message).to.match(
      /start\.html\?\/tfjs-backend-wasm-simd\.wasm answers with a page \(HTML\)/,
    );
    expect(await startWasm(page, tfjsFolder)).to.deep.equal({});
    await page.context().close();
  });

  it('takes an address for each file', async () => {
    const {page, files} = await open(notIsolated);
    await page.route('**/mine', route => route.fulfill({path: `node_modules/${simdFile}`}));
    const wasmPaths = {
      'tfjs-backend-wasm.wasm': '/no/such.wasm',
      'tfjs-backend-wasm-simd.wasm': '/mine',
      'tfjs-backend-wasm-threaded-simd.wasm': '/no/such.wasm',
    };
    const started = await page.evaluate(paths => globalThis.start('wasm', {wasmPaths: paths}), wasmPaths);
    expect(started).to.deep.equal({});
    expect(files).to.include('mine');
    expect(files.filter(file => file.endsWith('.wasm'))).to.deep.equal([]);
    await page.context().close();
  });

  it('says where it looked where the files are in none of the usual places; tfjs then wants the page anew', async () => {
    const {page} = await open(notIsolated);
    await page.route('**/*.wasm', route => route.fulfill({status: 404}));
    const {error} = await startWasm(page);
    expect(error?.name).to.equal('BackendError');
    expect(error?.message).to.match(/http:\/\/127\.0\.0\.1:\d+\/\S*tfjs-backend-wasm-simd\.wasm answers 404/);
    await page.unroute('**/*.wasm');
    const {error: again} = await startWasm(page, tfjsFolder);
    expect(again?.message).to.match(/failed to start before.*load the page anew/);
    await page.context().close();
  });

  it('starts with one thread where an isolated page allows no workers made of Blobs', async () => {
    const policy = "script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'";
    const {page} = await open({...isolationHeaders, 'content-security-policy': policy});
    expect(await page.evaluate(() => crossOriginIsolated)).to.equal(true);
    expect(await startWasm(page)).to.deep.equal({});
    expect(await page.evaluate(() => globalThis.compute())).to.include({fused: true, sharedMemory: false});
    await page.context().close();
  });

  describe('with threads', () => {
    const startOn = (page: Page, threads: Threads) =>
      page.evaluate(many => globalThis.start('wasm', {threads: many}), threads);
    const compute = (page: Page) => page.evaluate(() => globalThis.compute());
    const notes = (said: readonly string[]) => said.filter(text => text.startsWith('eigenkv'));

    it('computes on an isolated page what one thread computes, and takes another number at any time', async () => {
      const {page, said} = await open(isolationHeaders);
      expect(await startWasm(page)).to.deep.equal({});
      const one = await compute(page);
      expect(one).to.include({fused: true, threads: 1});
      for (const threads of [2, 3, 1, 2]) {
        expect(await startOn(page, threads)).to.deep.equal({});
        const many = await compute(page);
        expect(many).to.include({fused: true, threads});
        expectEqual(many.outputs, one.outputs);
      }
      expect(await startOn(page, 'all')).to.deep.equal({});
      const cores = await page.evaluate(() => navigator.hardwareConcurrency);
      expect((await compute(page)).threads).to.equal(Math.min(cores, 8));
      expect(notes(said)).to.deep.equal([]);
      await page.context().close();
    });

    it('computes in a worker of an isolated page', async () => {
      const {page, said} = await open(isolationHeaders);
      const inWorker = (threads: number) =>
        page.evaluate(many => globalThis.startAndComputeInWorker('wasm', {threads: many}), threads);
      const [one, two] = [await inWorker(1), await inWorker(2)];
      expect(two).to.include({fused: true, sharedMemory: true, threads: 2});
      expectEqual(two.outputs, one.outputs);
      expect(notes(said)).to.deep.equal([]);
      await page.context().close();
    });

    it('has one, with one note, on a page that is not isolated, also in a worker', async () => {
      const {page, said} = await open(notIsolated);
      for (const threads of [2, 2, 'all'] as const) expect(await startOn(page, threads)).to.deep.equal({});
      expect(await compute(page)).to.include({fused: true, sharedMemory: false, threads: 1});
      expect(new Set(notes(said)).size).to.equal(notes(said).length);
      expect(notes(said)[0]).to.match(
        /^eigenkv: one thread instead of 2, since this page is not cross-origin isolated: it needs the headers Cross-Origin-Opener-P/,
      );
      const worker = await page.evaluate(() => globalThis.startAndComputeInWorker('wasm', {threads: 2}));
      expect(worker).to.include({fused: true, threads: 1});
      await page.context().close();
    });

    it('has one, with a note, where an isolated page allows no workers made of Blobs', async () => {
      const policy = "script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'";
      const {page, said} = await open({...isolationHeaders, 'content-security-policy': policy});
      expect(await startOn(page, 2)).to.deep.equal({});
      expect(await compute(page)).to.include({fused: true, sharedMemory: false, threads: 1});
      expect(notes(said)).to.have.length(1);
      expect(notes(said)[0]).to.match(/one thread instead of 2, since .*CSP: worker-src blob:/);
      await page.context().close();
    });

    it('goes on after the page was frozen, as browsers do to hidden tabs', async () => {
      const {page} = await open(isolationHeaders);
      await startOn(page, 2);
      const before = await compute(page);
      const devtools = await page.context().newCDPSession(page);
      for (const state of ['frozen', 'active'] as const) {
        await devtools.send('Page.setWebLifecycleState', {state});
      }
      expect(await compute(page)).to.deep.equal(before);
      await page.context().close();
    });

    it('has one once the page is loaded anew without the headers', async () => {
      const {page} = await open(isolationHeaders);
      await startOn(page, 2);
      const before = await compute(page);
      expect(before.threads).to.equal(2);
      await page.unrouteAll();
      await page.reload();
      await page.waitForFunction(() => typeof globalThis.start === 'function');
      await startOn(page, 2);
      const after = await compute(page);
      expect(after).to.include({fused: true, sharedMemory: false, threads: 1});
      expectEqual(after.outputs, before.outputs);
      await page.context().close();
    });
  });

  it('says what a page has to allow that forbids WebAssembly', async () => {
    const {page} = await open({'content-security-policy': "script-src 'self'"});
    const {error} = await startWasm(page);
    expect(error?.name).to.equal('BackendError');
    expect(error?.message).to.match(/Content-Security-Policy has to allow 'wasm-unsafe-eval'/);
    expect(await page.evaluate(() => globalThis.start('cpu'))).to.deep.equal({});
    expect(await page.evaluate(() => globalThis.compute())).to.include({fused: false});
    await page.context().close();
  });

  it('says how webgpu comes into a bundle', async () => {
    const {page} = await open(notIsolated);
    const {error} = await page.evaluate(() => globalThis.start('webgpu'));
    expect(error?.name).to.equal('BackendError');
    expect(error?.message).to.match(/import '@tensorflow\/tfjs-backend-webgpu' as well/);
    await page.context().close();
  });
});

/** Up to the order of sums. */
function expectEqual(outputs: readonly number[], expected: readonly number[]): void {
  expect(outputs).to.have.length(expected.length);
  expect(Math.max(...outputs.map((x, i) => Math.abs(x - expected[i]!)))).to.be.lessThan(1e-5);
}
