import {expect} from 'chai';
import {type Server, createServer} from 'node:http';
import type {AddressInfo} from 'node:net';
import {fetchGgufFiles} from '../../../models/formats/fetch_file.js';
import {InvalidArgumentError, TransferError} from '../../../base/errors.js';
import {rejection} from '../../base/files/rejection.js';

/** Browsers have a page, which addresses are relative to. */
describe('files fetched in a browser', () => {
  let server: Server;
  let origin: string;
  const pageBefore = Object.getOwnPropertyDescriptor(globalThis, 'location');

  before(async () => {
    server = createServer((request, response) => {
      if (!/\/(m|[12])[^/]*\.gguf(\?key)?$/.test(request.url ?? '')) response.writeHead(404).end();
      else response.end(`GGUF ${request.url}`);
    });
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    Object.defineProperty(globalThis, 'location', {
      value: {href: `${origin}/page/index.html`},
      configurable: true,
    });
  });
  after(async () => {
    if (pageBefore === undefined) Reflect.deleteProperty(globalThis, 'location');
    else Object.defineProperty(globalThis, 'location', pageBefore);
    await new Promise(resolve => server.close(resolve));
  });

  const textsOf = async (address: string) => {
    const files = await fetchGgufFiles(address, {});
    return Promise.all(files.map(async file => `${file.name}: ${await file.text()}`));
  };

  it('are relative to the page', async () => {
    expect(await textsOf('m.gguf')).to.deep.equal(['m.gguf: GGUF /page/m.gguf']);
    expect(await textsOf('/a/m%20b.gguf?key')).to.deep.equal(['m b.gguf: GGUF /a/m%20b.gguf?key']);
  });

  it('are all parts of a split file', async () => {
    const names = [1, 2, 3].map(part => `m-0000${part}-of-00003.gguf`);
    expect(await textsOf(`${origin}/x/${names[1]!}`)).to.deep.equal(
      names.map(name => `${name}: GGUF /x/${name}`),
    );
  });

  it('of the hub are those that its pages show', async () => {
    const asked: string[] = [];
    const {fetch} = globalThis;
    globalThis.fetch = url => {
      if (url instanceof URL) asked.push(url.href);
      return Promise.resolve(new Response('GGUF'));
    };
    try {
      await fetchGgufFiles('https://huggingface.co/o/n/blob/main/blob/m.gguf', {});
    } finally {
      globalThis.fetch = fetch;
    }
    expect(asked).to.deep.equal(['https://huggingface.co/o/n/resolve/main/blob/m.gguf']);
  });

  it('are .gguf files that are there', async () => {
    for (const address of ['owner/name', 'ftp://x/m.gguf', 'm.bin', 'http://'])
      await rejection(fetchGgufFiles(address, {}), InvalidArgumentError, /not the address of a \.gguf file/);
    await rejection(
      fetchGgufFiles('absent.gguf', {}),
      TransferError,
      /absent\.gguf cannot be fetched: the server answers 404/,
    );
  });
});
