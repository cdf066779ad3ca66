import {readFile} from 'node:fs/promises';
import {fileURLToPath} from 'node:url';
import {expect} from 'chai';
import type {Browser} from 'playwright-core';
import {type Plugin, type ViteDevServer, createServer} from 'vite';
import {markdownExamples} from '../../../tools/markdown_examples.js';
import {patience} from '../../support/chromium.js';
import {chatGguf} from '../../support/chat_gguf.js';
import {launchOrSkip} from './support.js';

// The first example of the README as it stands, in a page. The page has a `process.stdout`, as Node does; nothing else is added.

const root = fileURLToPath(new URL('../../../', import.meta.url));
const modelFile = 'SmolLM2-135M-Instruct.Q4_1.gguf';
const page = `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><pre></pre><script type="module">
  const text = document.querySelector('pre');
  globalThis.process = {stdout: {write: piece => text.append(piece)}};
  await import('/example.ts');
  document.title = 'done';
</script>`;

/** Serves the page and the model file, and the example as a module whose package is the sources. */
async function examplePage(): Promise<Plugin> {
  const [example] = markdownExamples(await readFile(`${root}README.md`, 'utf8'));
  const model = await chatGguf();
  return {
    name: 'first-example',
    resolveId: id => (id === 'eigenkv' ? `${root}src/index.ts` : id === '/example.ts' ? id : undefined),
    load: id => (id === '/example.ts' ? example!.code : undefined),
    configureServer({middlewares}) {
      middlewares.use((request, response, next) => {
        if (request.url === '/') response.setHeader('content-type', 'text/html').end(page);
        else if (request.url === `/${modelFile}`) response.end(model);
        else if (request.url === '/empty')
          response.setHeader('content-type', 'text/html').end('<!doctype html>');
        else next();
      });
    },
  };
}

describe("the README's first example in a browser", () => {
  let browser: Browser | undefined;
  let server: ViteDevServer | undefined;

  before(async function () {
    browser = await launchOrSkip(this);
    server = await createServer({
      root,
      configFile: false,
      appType: 'custom',
      logLevel: 'error',
      cacheDir: 'node_modules/.vite-example-tests',
      plugins: [await examplePage()],
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

  it('loads the file by its address on wasm, writes an answer and prints a table', async () => {
    const context = await browser!.newContext();
    context.setDefaultTimeout(patience);
    const visitor = await context.newPage();
    const faults: string[] = [];
    const tables: unknown[] = [];
    const files: string[] = [];
    visitor.on('pageerror', error => faults.push(error.message));
    visitor.on('request', request => files.push(new URL(request.url()).pathname.split('/').at(-1)!));
    visitor.on('console', message => {
      if (message.type() === 'table') tables.push(message.args()[0]?.jsonValue());
      else if (['error', 'warning'].includes(message.type())) faults.push(message.text());
    });
    await visitor.goto(server!.resolvedUrls!.local[0]!);
    await visitor.waitForFunction(() => document.title === 'done').catch(() => undefined);
    expect(faults).to.deep.equal([]);
    expect(files).to.include(modelFile);
    expect(new Set(files.filter(name => name.endsWith('.wasm')))).to.deep.equal(
      new Set(['tfjs-backend-wasm-simd.wasm']),
    );
    expect(await visitor.textContent('pre')).to.have.length.above(300);
    expect(tables).to.have.length(1);
    const table = JSON.stringify(await tables[0]);
    for (const plan of ['full', 'quantized', 'h2o:heavyBudget=512,store=integer,bits=4', 'KL (nats)'])
      expect(table).to.include(plan);
    await context.close();
  });

  it('says what is wrong with an address, and how far a download is', async () => {
    const context = await browser!.newContext();
    context.setDefaultTimeout(patience);
    const visitor = await context.newPage();
    await visitor.goto(`${server!.resolvedUrls!.local[0]!}empty`);
    const results = await visitor.evaluate(
      async ([module, ...addresses]) => {
        const {loadModel} = (await import(module!)) as typeof import('../../../src/index.js');
        return Promise.all(
          addresses.map(async address => {
            const seen = new Set<string>();
            try {
              const model = await loadModel(address, {
                onProgress({stage, file, done, total}) {
                  if (done === total) seen.add(`${stage} ${file}`);
                },
              });
              model.dispose();
              return [...seen, model.source].join(', ');
            } catch (error) {
              return String(error);
            }
          }),
        );
      },
      ['/src/index.ts', `/${modelFile}`, 'owner/name', '/absent.gguf', 'http://127.0.0.1:1/away.gguf'],
    );
    expect(results[0]).to.match(
      /^download SmolLM2.*\.gguf, weights .*, \/SmolLM2-135M-Instruct\.Q4_1\.gguf$/,
    );
    expect(results[1]).to.match(/^InvalidArgumentError: "owner\/name" is not the address of a \.gguf file/);
    expect(results[2]).to.match(
      /^TransferError: .*\/absent\.gguf cannot be fetched: the server answers 404\.$/,
    );
    expect(results[3]).to.match(/^TransferError: .*\/away\.gguf cannot be fetched: Failed to fetch\.$/);
    await context.close();
  });
});
