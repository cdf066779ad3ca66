import {type Server, createServer} from 'node:http';
import {expect} from 'chai';
import {TransferError} from '../../../base/errors.js';
import {type PackageFile, fetchFrom, placesOf} from '../../../base/files/package_file.js';
import {rejection} from './rejection.js';

describe('the places where a page looks for a file of a package', () => {
  const page = 'https://example.org/app/index.html';
  const place = Object.getOwnPropertyDescriptor(globalThis, 'location');
  before(() => {
    Object.defineProperty(globalThis, 'location', {value: {href: page}, configurable: true});
  });
  after(() => {
    Reflect.deleteProperty(globalThis, 'location');
    if (place !== undefined) Object.defineProperty(globalThis, 'location', place);
  });

  /** As our modules ask, when bundled (or not) into a script. */
  const wasm = (script: string): PackageFile => ({
    ...{name: '@tensorflow/tfjs-backend-wasm', version: '4.22.0', path: 'dist/x.wasm', copy: 'x.wasm'},
    reference: '@tensorflow/tfjs-backend-wasm/dist/x.wasm',
    url: new URL('@tensorflow/tfjs-backend-wasm/dist/x.wasm', script).href,
  });
  const config = (script: string): PackageFile => ({
    ...{name: 'eigenkv', path: 'dist/models/embedded/config.json'},
    ...{reference: 'embedded/config.json', copy: 'embedded/config.json'},
    url: new URL('./embedded/config.json', script).href,
  });

  const ofWasm = '@tensorflow/tfjs-backend-wasm/dist/x.wasm';
  for (const [what, script, modules] of [
    [
      'a server of plain files',
      'https://a.org/node_modules/eigenkv/dist/models/m.js',
      'https://a.org/node_modules/',
    ],
    [
      'a cache of dependencies (Vite)',
      'http://[::1]:5173/node_modules/.vite/deps/eigenkv.js',
      'http://[::1]:5173/node_modules/',
    ],
    [
      'packages in packages (pnpm)',
      'https://a.org/node_modules/.pnpm/eigenkv@0.1.0/node_modules/eigenkv/dist/models/m.js',
      'https://a.org/node_modules/.pnpm/eigenkv@0.1.0/node_modules/',
    ],
  ] as const) {
    it(`are the package's own folder on ${what}`, () => {
      expect(placesOf(wasm(script))).to.deep.equal([`${modules}${ofWasm}`]);
      expect(placesOf(config(script))).to.deep.equal([`${modules}eigenkv/dist/models/embedded/config.json`]);
    });
  }

  for (const [host, script] of [
    ['https://cdn.jsdelivr.net/npm/', 'https://cdn.jsdelivr.net/npm/eigenkv@0.1.0/dist/models/m.js'],
    ['https://cdn.jsdelivr.net/npm/', 'https://cdn.jsdelivr.net/npm/eigenkv@0.1.0/models/+esm'],
    ['https://esm.sh/', 'https://esm.sh/eigenkv@0.1.0/es2022/models.mjs'],
    ['https://unpkg.com/', 'https://unpkg.com/eigenkv@0.1.0/dist/models/m.js'],
  ] as const) {
    it(`are the package of its version for ${script}`, () => {
      expect(placesOf(wasm(script))).to.deep.equal([
        `${host}@tensorflow/tfjs-backend-wasm@4.22.0/dist/x.wasm`,
      ]);
      expect(placesOf(config(script))).to.deep.equal([
        `${host}eigenkv@0.1.0/dist/models/embedded/config.json`,
      ]);
    });
  }

  it('are the one that a bundler gave', () => {
    const url = 'https://a.org/assets/x-B1sf.wasm';
    expect(placesOf({...wasm('https://a.org/'), url})).to.deep.equal([url]);
    expect(placesOf({...wasm('https://a.org/'), url: 'data:application/wasm;base64,AA'})).to.have.length(1);
  });

  it('are beside the script and beside the page of a bundle that knows nothing of them', () => {
    expect(placesOf(wasm('https://cdn.org/scripts/main.js'))).to.deep.equal([
      'https://cdn.org/scripts/x.wasm',
      'https://example.org/app/x.wasm',
    ]);
    expect(placesOf(config('https://example.org/app/main.js'))).to.deep.equal([
      'https://example.org/app/embedded/config.json',
    ]);
  });

  it('are beside the page of a script that is no module', () => {
    const {url, ...unknown} = wasm('https://a.org/');
    expect(url).to.be.a('string');
    expect(placesOf({...unknown, url: undefined})).to.deep.equal(['https://example.org/app/x.wasm']);
  });

  it('are none beside a worker made of a Blob', () => {
    Object.defineProperty(globalThis, 'location', {
      value: {href: 'blob:https://a.org/0-1'},
      configurable: true,
    });
    expect(placesOf({...wasm('https://a.org/'), url: undefined})).to.deep.equal([]);
    Object.defineProperty(globalThis, 'location', {value: {href: page}, configurable: true});
  });
});

describe('fetchFrom', () => {
  let server: Server;
  let host = '';
  const asked: string[] = [];
  before(async () => {
    server = createServer(({url = ''}, response) => {
      asked.push(url);
      if (url.startsWith('/page'))
        response.setHeader('content-type', 'text/html; charset=utf-8').end('<!doctype html>');
      else if (url.startsWith('/file')) response.end(url);
      else response.writeHead(404).end('not here');
    });
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    host = `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : ''}`;
  });
  after(() => server.close());

  it('takes the first place that has it, and asks no further', async () => {
    const places = ['/nowhere', '/page', '/file-a', '/file-b'].map(path => host + path);
    const {url, bytes} = await fetchFrom(places);
    expect([url, Buffer.from(bytes).toString()]).to.deep.equal([`${host}/file-a`, '/file-a']);
    expect(asked).to.deep.equal(['/nowhere', '/page', '/file-a']);
  });

  it('looks at the bytes', async () => {
    const {url} = await fetchFrom([`${host}/file-a`, `${host}/file-bb`], bytes => bytes.length > 7);
    expect(url).to.equal(`${host}/file-bb`);
  });

  it('says of each place what was wrong there', async () => {
    const places = [...['/nowhere', '/page', '/file'].map(path => host + path), 'http://127.0.0.1:1/closed'];
    const {message} = await rejection(
      fetchFrom(places, () => false),
      TransferError,
    );
    expect(message).to.match(
      /^\S+\/nowhere answers 404; \S+\/page answers with a page \(HTML\); \S+\/file answers with something else; /,
    );
    expect(message).to.match(/http:\/\/127\.0\.0\.1:1\/closed cannot be fetched \(.+\)\.$/);
    await rejection(fetchFrom([]), TransferError, /no place/);
  });
});
