import {expect} from 'chai';
import {mkdtemp, readFile, rm} from 'node:fs/promises';
import {type IncomingMessage, type Server, type ServerResponse, createServer} from 'node:http';
import type {AddressInfo} from 'node:net';
import {tmpdir} from 'node:os';
import {basename, join} from 'node:path';
import {type HubOptions, fetchAddress, fetchModel} from '../../../models/hub/index.js';
import {chooseGguf} from '../../../models/hub/choose_gguf.js';
import {InvalidArgumentError, TransferError} from '../../../base/errors.js';
import {rejection} from '../../base/files/rejection.js';

describe('the GGUF file of a quantisation', () => {
  const choose = (quantization: string | undefined, ...paths: string[]) =>
    chooseGguf(paths, quantization, 'o/n');
  const parts = (name: string) => [1, 2, 3].map(i => `${name}-0000${i}-of-00003.gguf`);

  it('is the one whose name ends with it, of any case', () => {
    const many = [
      'm-Q4_K_M.gguf',
      'm-Q4_K_S.gguf',
      'm.Q4_0.gguf',
      'm_Q8_0.gguf',
      'm-iq4_xs.gguf',
      'm-Q4_0_4_4.gguf',
      'm-F16.gguf',
      'm-bf16.gguf',
      'README.md',
      'Q4_K_M.txt',
    ];
    for (const [wanted, path] of [
      ['q4_k_m', 'm-Q4_K_M.gguf'],
      ['Q4_0', 'm.Q4_0.gguf'],
      ['Q8_0', 'm_Q8_0.gguf'],
      ['IQ4_XS', 'm-iq4_xs.gguf'],
      ['f16', 'm-F16.gguf'],
      ['BF16', 'm-bf16.gguf'],
    ] as const) {
      expect(choose(wanted, ...many)).to.equal(path);
    }
  });

  it('comes before names that only have it in them', () => {
    expect(choose('Q4_K_M', 'm-UD-Q4_K_M.gguf', 'm-Q4_K_M.gguf')).to.equal('m-Q4_K_M.gguf');
    expect(choose('Q4_K_M', 'm-UD-Q4_K_M.gguf', 'm-Q4_0.gguf')).to.equal('m-UD-Q4_K_M.gguf');
    expect(choose('UD-Q4_K_M', 'm-UD-Q4_K_M.gguf', 'm-Q4_K_M.gguf')).to.equal('m-UD-Q4_K_M.gguf');
    expect(choose('Q5_1', 'm-Q5_1-imat.gguf', 'm-Q4_0.gguf')).to.equal('m-Q5_1-imat.gguf');
  });

  it('may lie in a folder, and those at the top come first', () => {
    expect(choose('BF16', 'BF16/m.gguf', 'm-Q4_0.gguf')).to.equal('BF16/m.gguf');
    expect(choose('Q4_0', 'draft/m-Q4_0.gguf', 'm-Q4_0.gguf')).to.equal('m-Q4_0.gguf');
  });

  it('is the first part of a split one', () => {
    expect(choose('Q8_0', ...parts('Q8_0/m-Q8_0').reverse(), 'm-Q4_0.gguf')).to.equal(
      'Q8_0/m-Q8_0-00001-of-00003.gguf',
    );
    expect(choose(undefined, ...parts('m'))).to.equal('m-00001-of-00003.gguf');
  });

  it('is no projector and no importance matrix', () => {
    expect(choose('F16', 'mmproj-m-F16.gguf', 'm-F16.gguf', 'm-imatrix-F16.gguf')).to.equal('m-F16.gguf');
    expect(choose(undefined, 'mmproj-F16.gguf', 'imatrix.gguf', 'm.gguf')).to.equal('m.gguf');
  });

  it('is named among the others where there is none, or several', () => {
    const fails = (run: () => unknown, message: RegExp) => expect(run).to.throw(TransferError, message);
    fails(
      () => choose('Q2_K', 'm-Q4_0.gguf', 'm-UD-Q8_K_XL.gguf', 'x.gguf'),
      /^o\/n has no GGUF file of Q2_K\. Name one: o\/n:Q4_0, o\/n:UD-Q8_K_XL, o\/n:x\.gguf\.$/,
    );
    fails(() => choose('K_M', 'm-Q4_K_M.gguf'), /no GGUF file of K_M/);
    fails(
      () => choose('Q4_0', 'a-Q4_0.gguf', 'b-Q4_0.gguf'),
      /Several GGUF files of o\/n are Q4_0\. Name one: o\/n:a-Q4_0\.gguf, o\/n:b-Q4_0\.gguf\./,
    );
    fails(() => choose(undefined, 'm-Q4_0.gguf', 'm-Q8_0.gguf'), /2 GGUF models.*o\/n:Q4_0, o\/n:Q8_0/);
    fails(() => choose('Q4_0', 'README.md'), /no GGUF file in o\/n/);
  });
});

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

describe('a hub and other servers', () => {
  let answers: Record<string, Answer> = {};
  let requests: string[] = [];
  let tokens: (string | undefined)[] = [];
  let server: Server;
  let origin: string;
  let options: HubOptions & {cacheDirectory: string};

  before(done => {
    server = createServer((request, response) => {
      requests.push(`${request.method} ${request.url}`);
      tokens.push(request.headers.authorization);
      const answer = answers[request.url ?? ''];
      if (answer) answer(request, response);
      else response.writeHead(404).end();
    }).listen(0, '127.0.0.1', done);
  });
  after(done => {
    server.closeAllConnections();
    server.close(done);
  });
  beforeEach(async () => {
    answers = {};
    requests = [];
    tokens = [];
    origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    options = {cacheDirectory: await mkdtemp(join(tmpdir(), 'eigenkv-')), endpoint: origin, token: 'secret'};
  });
  afterEach(() => rm(options.cacheDirectory, {recursive: true, force: true}));

  const file =
    (body: string): Answer =>
    (request, response) => {
      const bytes = Buffer.from(body);
      const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
      response.writeHead(start > 0 ? 206 : 200, {
        ...{'content-length': bytes.length - start, etag: '"v1"', 'x-repo-commit': 'c'.repeat(40)},
        ...(start > 0 && {'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}`}),
      });
      response.end(request.method === 'HEAD' ? undefined : bytes.subarray(start));
    };
  const json =
    (value: unknown, headers: Record<string, string> = {}): Answer =>
    (_request, response) =>
      response.writeHead(200, {'content-type': 'application/json', ...headers}).end(JSON.stringify(value));
  const tree = '/api/models/o/n/tree/main?recursive=true';
  const entries = (...paths: string[]) => paths.map(path => ({type: 'file', path, size: 1}));
  const at = (path: string) => `/o/n/resolve/main/${path}`;
  const read = (path: string) => readFile(path, 'utf8');

  it('give the file of a quantisation, and ask no more', async () => {
    answers[tree] = json(entries('m-Q4_K_M.gguf', 'm-Q8_0.gguf'));
    answers[at('m-Q8_0.gguf')] = file('GGUF eight');
    const path = await fetchModel('hf.co/o/n:q8_0', options);
    expect(await read(path)).to.equal('GGUF eight');
    expect(requests).to.deep.equal([`GET ${tree}`, `HEAD ${at('m-Q8_0.gguf')}`, `GET ${at('m-Q8_0.gguf')}`]);
    expect(new Set(tokens)).to.deep.equal(new Set(['Bearer secret']));
    requests = [];
    expect(await fetchModel('o/n:Q8_0', options)).to.equal(path);
    expect(await fetchModel('o/n:Q8_0', {...options, offline: true})).to.equal(path);
    expect(requests).to.deep.equal([]);
    await rejection(
      fetchModel('o/n:Q4_K_M', {...options, offline: true}),
      TransferError,
      /no GGUF file of Q4_K_M.*o\/n:Q8_0/,
    );
    await rejection(
      fetchModel('o/x:Q4_K_M', {...options, offline: true}),
      TransferError,
      /not downloaded yet.*offline/,
    );
  });

  it('give all parts of it, of the commit that the first came from', async () => {
    const parts = [1, 2].map(i => `q/m-Q8_0-0000${i}-of-00002.gguf`);
    answers[tree] = json(entries(...parts));
    answers[at(parts[0]!)] = file('GGUF one');
    await rejection(
      fetchModel('o/n:Q8_0', options),
      TransferError,
      /no q\/m-Q8_0-00002-of-00002\.gguf at .*404/,
    );
    answers[`/o/n/resolve/${'c'.repeat(40)}/${parts[1]!}`] = file('GGUF two');
    const path = await fetchModel('o/n:Q8_0', options);
    expect(basename(path)).to.equal(basename(parts[0]!));
    expect(await read(path.replace('00001', '00002'))).to.equal('GGUF two');
  });

  it('list files in pages, all of one host', async () => {
    const second = '/api/models/o/n/tree/main?recursive=true&cursor=x';
    const links = (target: string) => ({link: `<${target}>; rel="next"`});
    answers[tree] = json(entries('README.md'), links(origin + second));
    answers[second] = json(entries('m-Q8_0.gguf'));
    answers[at('m-Q8_0.gguf')] = file('GGUF');
    expect(await read(await fetchModel('o/n:Q8_0', options))).to.equal('GGUF');
    await rm(options.cacheDirectory, {recursive: true});
    requests = [];
    answers[tree] = json(entries('README.md'), links(`http://localhost:${new URL(origin).port}${second}`));
    await rejection(fetchModel('o/n:Q8_0', options), TransferError, /goes on at http:\/\/localhost/);
    answers[tree] = json(entries('README.md'), links(origin + tree));
    await rejection(fetchModel('o/n:Q8_0', options), TransferError, /at most 100 pages/);
    expect(requests).to.have.length(101);
  });

  it('cannot list files that lead out of the cache', async () => {
    answers[tree] = json([
      ...entries('../m-Q8_0.gguf', '/m-Q8_0.gguf', 'a/../../m-Q8_0.gguf', 'a\\m-Q8_0.gguf', '.m-Q8_0.gguf'),
      {type: 'directory', path: 'm-Q8_0.gguf'},
      {path: 1},
      null,
    ]);
    await rejection(fetchModel('o/n:Q8_0', options), TransferError, /no GGUF file in o\/n/);
    expect(requests).to.deep.equal([`GET ${tree}`]);
  });

  it('say what is wrong with a list', async () => {
    await rejection(fetchModel('o/n:Q8_0', options), TransferError, /no GGUF file of Q8_0 at .*404/);
    for (const body of ['{}', '<html>', '[{']) {
      answers[tree] = (_request, response) => response.end(body);
      await rejection(fetchModel('o/n:Q8_0', options), TransferError, /is no list of files/);
    }
    answers[tree] = (_request, response) => response.writeHead(403).end();
    await rejection(fetchModel('o/n:Q8_0', options), TransferError, /HF_TOKEN/);
    answers[tree] = (_request, response) => response.end(' '.repeat(2 ** 24 + 1));
    await rejection(fetchModel('o/n:Q8_0', options), TransferError, /sends more than 16777216 bytes/);
  });

  it('give the only GGUF file of a repository without safetensors', async () => {
    answers[tree] = json(entries('README.md', 'm-Q8_0.gguf'));
    answers[at('m-Q8_0.gguf')] = file('GGUF');
    const path = await fetchModel('o/n', options);
    expect(await read(path)).to.equal('GGUF');
    expect(await fetchModel('o/n', {...options, offline: true})).to.equal(path);
  });

  it('name the quantisations of one that has several', async () => {
    answers[tree] = json(entries('config.json', 'm-Q4_K_M.gguf', 'm-Q8_0.gguf'));
    await rejection(fetchModel('o/n', options), TransferError, /2 GGUF models.*o\/n:Q4_K_M, o\/n:Q8_0/);
    answers[at('config.json')] = file('{}');
    answers[tree.replace('main', 'c'.repeat(40))] = answers[tree]; // all is of one commit
    await rejection(fetchModel('o/n', options), TransferError, /o\/n:Q4_K_M, o\/n:Q8_0/);
  });

  describe('by an address', () => {
    it('give a file once, without the token of the hub', async () => {
      answers['/x/m%20b.gguf?key=1'] = file('GGUF');
      const path = await fetchAddress(`${origin}/x/m%20b.gguf?key=1`, options);
      expect(basename(path)).to.equal('m b.gguf');
      expect(await read(path)).to.equal('GGUF');
      expect(tokens).to.deep.equal([undefined, undefined]);
      expect(await fetchAddress(`${origin}/x/m%20b.gguf?key=1`, {...options, offline: true})).to.equal(path);
      expect(requests).to.have.length(2);
      await rejection(
        fetchAddress(`${origin}/x/c.gguf`, {...options, offline: true}),
        TransferError,
        /offline/,
      );
    });

    it('give all parts of a split one', async () => {
      for (const part of [1, 2]) answers[`/m-0000${part}-of-00002.gguf`] = file(`GGUF ${part}`);
      const path = await fetchAddress(`${origin}/m-00002-of-00002.gguf`, options);
      expect(await read(path)).to.equal('GGUF 2');
      expect(await read(path.replace('00002-of', '00001-of'))).to.equal('GGUF 1');
      await rejection(
        fetchAddress(`${origin}/m-00001-of-00003.gguf`, options),
        TransferError,
        /no file at .*m-0000[1-3]-of-00003\.gguf \(404\)/,
      );
    });

    it('refuse what is no .gguf file, or leads out of the cache', async () => {
      for (const address of ['/m.bin', '/', '/..%2Fm.gguf', '/.m.gguf', '/%zz.gguf', '/a%5Cm.gguf']) {
        await rejection(
          fetchAddress(origin + address, options),
          InvalidArgumentError,
          /not the address of a \.gguf file/,
        );
      }
      await rejection(
        fetchAddress(origin.replace('//', '//user:secret@') + '/m.gguf', options),
        InvalidArgumentError,
      );
      answers['/page.gguf'] = file('<!doctype html>');
      await rejection(fetchAddress(`${origin}/page.gguf`, options), TransferError, /web page/);
      expect(requests.every(request => request.endsWith('/page.gguf'))).to.equal(true);
    });
  });
});
