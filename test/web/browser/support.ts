import {type Browser, type BrowserContextOptions, type Page, chromium} from 'playwright-core';
import {createServer} from 'node:http';
import {readFile} from 'node:fs/promises';
import {extname} from 'node:path';
import {fileURLToPath} from 'node:url';
import {expect} from 'chai';
import {chromiumPath, chromiumSwitches, noChromium, patience} from '../../support/chromium.js';

/** Where `npm run web:build` puts the page. */
export const builtPage = fileURLToPath(new URL('../../../web/dist/', import.meta.url));

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.wasm': 'application/wasm',
  '.json': 'application/json',
};

/** What makes a page cross-origin isolated: it may share memory between threads. */
export const isolationHeaders: Readonly<Record<string, string>> = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
};

/** A host of static files that knows no more than that, under a path of its own. */
async function servePage(
  headers: Readonly<Record<string, string>>,
): Promise<{url: string; close: () => void}> {
  const prefix = '/some/path/';
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? '', 'http://localhost').pathname;
    const file = path === prefix ? 'index.html' : path.slice(prefix.length);
    const found = path.startsWith(prefix) && !file.includes('..');
    const bytes = found ? readFile(builtPage + file) : Promise.reject(new Error('not here'));
    bytes.then(
      content =>
        response
          .writeHead(200, {'content-type': types[extname(file)] ?? 'text/plain', ...headers})
          .end(content),
      () => response.writeHead(404).end(),
    );
  });
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('The server has no port.');
  return {
    url: `http://127.0.0.1:${address.port}${prefix}`,
    close: () => server.close(),
  };
}

/** A browser of this machine; the suite is skipped, and says why, where there is none. */
export async function launchOrSkip(
  context: Mocha.Context,
  switches: readonly string[] = chromiumSwitches,
): Promise<Browser> {
  if (chromiumPath === undefined) {
    console.log(`      ${noChromium}`);
    return context.skip();
  }
  return chromium.launch({executablePath: chromiumPath, args: [...switches], timeout: patience});
}

/** For pages that are not to be isolated: no service worker adds the headers. */
function withoutServiceWorkers(): void {
  delete (Navigator.prototype as {serviceWorker?: unknown}).serviceWorker;
}

/**
 * A browser and a host for all tests of a suite, which is skipped where there is no browser.
 * @param headers with which the host answers besides.
 * @param script runs in each page before its own. Default: no service worker adds headers.
 */
export function stage(
  headers: Readonly<Record<string, string>> = {},
  script: () => void = withoutServiceWorkers,
): {
  readonly browser: () => Browser;
  readonly url: () => string;
  readonly visit: (hash: string, options?: BrowserContextOptions) => Promise<Visitor>;
} {
  let started: {browser: Browser; url: string; close: () => void} | undefined;
  before(async function () {
    const browser = await launchOrSkip(this);
    started = {browser, ...(await servePage(headers))};
  });
  after(async () => {
    await started?.browser.close();
    started?.close();
  });
  const browser = () => started!.browser;
  const url = () => started!.url;
  return {
    browser,
    url,
    visit: (hash, options) => Visitor.open(browser(), `${url()}#${hash}`, options, script),
  };
}

/** Someone who looks at the page, and at its console. */
export class Visitor {
  private readonly complaints: string[] = [];
  /** The names of the files that it asked for. */
  readonly files = new Set<string>();
  /** How often the page was loaded. */
  loads = 0;

  private constructor(readonly page: Page) {
    page.on('pageerror', error => this.complaints.push(error.message));
    page.on('console', message => {
      if (['error', 'warning'].includes(message.type())) this.complaints.push(message.text());
    });
    page.on('request', request => this.files.add(request.url().split('/').at(-1)!));
    page.on('domcontentloaded', () => this.loads++);
    page.on('requestfailed', request => this.complaints.push(`failed: ${request.url()}`));
  }

  static async open(
    browser: Browser,
    url: string,
    options: BrowserContextOptions = {},
    script: () => void = withoutServiceWorkers,
  ): Promise<Visitor> {
    const context = await browser.newContext(options);
    await context.addInitScript(script);
    context.setDefaultTimeout(patience);
    const visitor = new Visitor(await context.newPage());
    await visitor.page.goto(url);
    return visitor;
  }

  /** What stands in a part of the page. */
  async read(testId: string): Promise<string> {
    return (await this.page.getByTestId(testId).textContent()) ?? '';
  }

  /** Waits until a part of the page shows something. */
  async sees(testId: string, what: RegExp): Promise<void> {
    await this.page.getByTestId(testId).filter({hasText: what}).waitFor();
  }

  /** Waits until nothing runs any more. */
  async waitsForTheEnd(): Promise<void> {
    await this.page.getByRole('button', {name: 'Stop', disabled: true}).waitFor();
  }

  /** Ends the visit; nothing may have been complained of on the console. */
  async leaves(): Promise<void> {
    await this.page.context().close();
    expect(this.complaints).to.deep.equal([]);
  }
}
