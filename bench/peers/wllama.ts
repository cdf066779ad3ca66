import {createReadStream} from 'node:fs';
import {stat} from 'node:fs/promises';
import {type Server, createServer} from 'node:http';
import type {AddressInfo} from 'node:net';
import {basename, dirname, extname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {type Page, chromium} from 'playwright-core';
import {chromiumPath, chromiumSwitches, noChromium} from '../../test/support/chromium.js';
import type {Engine, OpenedModel} from '../model.js';
import {resolveFrom} from './import_from.js';

/** It reads its prompt in every run, on one thread and with 16-bit numbers converted by tables: thousands of tokens took over half an hour. */
const longest = 512;
const cacheTypes = ['f16', 'q8_0', 'q4_0'] as const;

/**
 * wllama, llama.cpp compiled to WebAssembly, on one thread in headless Chromium, since it needs web workers. Its caches have three types. It
 * generates what it writes itself after the text, greedily. A step includes a message to the page, some tenths of a millisecond.
 *
 * @param folder where @wllama/wllama 3.13 is installed.
 * @param file a GGUF file of at most 2 GB.
 * @param text read as text, since wllama takes no ids.
 */
export async function openWllama(
  folder: string,
  file: string,
  {textOf, contextLength}: Pick<OpenedModel, 'textOf' | 'contextLength'>,
): Promise<Engine | string> {
  const found = resolveFrom(folder, '@wllama/wllama');
  if (typeof found === 'string') return found;
  if (chromiumPath === undefined) return `wllama: ${noChromium}`;
  const server = await serve(dirname(found.path), file);
  const browser = await chromium.launch({executablePath: chromiumPath, args: chromiumSwitches});
  const page = await browser.newPage();
  page.setDefaultTimeout(0);
  page.on('pageerror', error => console.error(`wllama: ${error.message}`));
  await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  await page.waitForFunction('globalThis.isReady');
  for (const type of cacheTypes) await call(page, 'openEngine', type, contextLength);
  return {
    decoders: cacheTypes.map((codec, number) => ({
      ...{backend: 'wllama', codec, shape: basename(file, '.gguf')},
      step: () => call(page, 'stepEngine', number),
    })),
    longest,
    fillTo: async tokens => {
      for (const number of cacheTypes.keys()) await call(page, 'fillEngine', number, textOf(tokens));
    },
    dispose: async () => {
      await browser.close();
      server.close();
    },
  };
}

/** Calls a function of the page. As a text: a transpiled function would name helpers that the page lacks. */
async function call(page: Page, name: string, ...args: readonly unknown[]): Promise<void> {
  await page.evaluate(`globalThis.${name}(${args.map(arg => JSON.stringify(arg)).join(', ')})`);
}

const contentTypes: Readonly<Record<string, string>> = {
  ...{'.js': 'text/javascript', '.mjs': 'text/javascript', '.wasm': 'application/wasm'},
};

/** Serves the page, the package and the model to this machine. */
async function serve(packageFolder: string, model: string): Promise<Server> {
  const pageScript = fileURLToPath(new URL('wllama_page.mjs', import.meta.url));
  const server = createServer((request, response) => {
    const {pathname} = new URL(request.url ?? '/', 'http://localhost');
    if (pathname === '/') {
      response.setHeader('content-type', 'text/html');
      response.end('<!doctype html><script type="module" src="/page.mjs"></script>');
      return;
    }
    const path =
      pathname === '/page.mjs'
        ? pageScript
        : pathname === '/model.gguf'
          ? model
          : join(packageFolder, pathname.replace(/^\/wllama\//, ''));
    stat(path).then(
      ({size}) => {
        response.setHeader('content-type', contentTypes[extname(path)] ?? 'application/octet-stream');
        response.setHeader('content-length', size);
        createReadStream(path).pipe(response);
      },
      () => response.writeHead(404).end(),
    );
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  return server;
}
