import {expect} from 'chai';
import {createHash} from 'node:crypto';
import {lstat, mkdir, mkdtemp, readFile, readdir, rm, symlink, writeFile} from 'node:fs/promises';
import {type IncomingMessage, type Server, type ServerResponse, createServer} from 'node:http';
import type {AddressInfo} from 'node:net';
import {homedir, tmpdir} from 'node:os';
import {dirname, join, relative} from 'node:path';
import {gzipSync} from 'node:zlib';
import {
  type HubOptions,
  type TransferProgress,
  cachedModelPath,
  fetchModel,
  hubCacheDirectory,
  isHubId,
  modelCacheDirectory,
  parseHubId,
} from '../../../models/hub/index.js';
import {FormatError, InvalidArgumentError, TransferError} from '../../../base/errors.js';
import {rejection} from '../../base/files/rejection.js';
import {skip} from '../../support/skip.js';

describe('hub ids', () => {
  it('are read into their parts', () => {
    expect(parseHubId('HuggingFaceTB/SmolLM2-135M')).to.deep.equal({
      owner: 'HuggingFaceTB',
      name: 'SmolLM2-135M',
      revision: 'main',
      file: undefined,
    });
    expect(parseHubId('a/b.c@refs/pr/1:sub/model.Q4_K.gguf')).to.deep.equal({
      owner: 'a',
      name: 'b.c',
      revision: 'refs/pr/1',
      file: 'sub/model.Q4_K.gguf',
    });
  });

  it('may name a quantisation', () => {
    expect(parseHubId('a/b:Q4_K_M')).to.deep.equal({
      ...{owner: 'a', name: 'b', revision: 'main', file: undefined},
      quantization: 'Q4_K_M',
    });
    expect(parseHubId('a/b@v1:ud-q4_k_xl')).to.include({revision: 'v1', quantization: 'ud-q4_k_xl'});
  });

  it('are read from addresses of the hub', () => {
    const whole = parseHubId('a/b.c');
    const file = parseHubId('a/b.c:sub dir/x+y-Q4_0.gguf');
    for (const host of [
      'https://huggingface.co',
      'http://huggingface.co',
      'https://www.huggingface.co',
      'huggingface.co',
      'hf.co',
      'https://hf.co',
    ]) {
      for (const path of [
        'a/b.c',
        'a/b.c/',
        'a/b.c/tree/main',
        'a/b.c?library=transformers',
        'a/b.c#usage',
      ]) {
        expect(parseHubId(`${host}/${path}`), `${host}/${path}`).to.deep.equal(whole);
      }
      for (const path of [
        'blob/main/sub%20dir/x+y-Q4_0.gguf',
        'resolve/main/sub%20dir/x+y-Q4_0.gguf?download=true',
      ])
        expect(parseHubId(`${host}/a/b.c/${path}`)).to.deep.equal(file);
      expect(parseHubId(`${host}/a/b.c:Q8_0`)).to.deep.equal(parseHubId('a/b.c:Q8_0'));
      expect(parseHubId(`${host}/a/b.c/tree/refs%2Fpr%2F1`)).to.deep.equal(parseHubId('a/b.c@refs/pr/1'));
    }
  });

  for (const id of [
    'https://huggingface.co/',
    'https://huggingface.co/a',
    'https://huggingface.co/a/b/c',
    'https://huggingface.co/a/b/blob/main',
    'https://huggingface.co/a/b/tree/main/sub',
    'https://huggingface.co/a/b/blob/main/x.gguf:Q4_0',
    'https://huggingface.co/a/b/blob/main/../x.gguf',
    'https://huggingface.co/a/b/resolve/main/%2e%2e/x.gguf',
    'https://huggingface.co/a/b/resolve/main/..%2Fx.gguf',
    'https://huggingface.co/a/b/resolve/..%2F..%2Fetc/x.gguf',
    'https://huggingface.co/a/b/resolve/main/%zz.gguf',
    'https://huggingface.co/../b',
    'https://huggingface.co.evil.org/a/b',
    'https://evil.org/huggingface.co/a/b',
    'ftp://huggingface.co/a/b',
    '',
    'gpt2',
    'a/b/c',
    '../b',
    'a/..',
    '/a/b',
    'a/b:',
    'a/b@',
    'a/b@..',
    'a/b@x/../y',
    'a/b@/x',
    'a/b@x/',
    'a/b:../x',
    'a/b:/etc/passwd',
    'a/b:x/../../y',
    'a/b:.hidden',
    'a\\b/c',
    'a/b:c\\d',
    './a',
    '~/a',
    'a b/c',
    'a/b:c:d',
    'a/b\n',
    'a/b:x//y',
    'C:/x',
  ]) {
    it(`refuse ${JSON.stringify(id)}`, () => {
      expect(() => parseHubId(id)).to.throw(InvalidArgumentError);
      expect(isHubId(id)).to.equal(false);
    });
  }
});

describe('the cache directory', () => {
  it('follows the environment', () => {
    expect(modelCacheDirectory({EIGENKV_CACHE: '/own', XDG_CACHE_HOME: '/xdg'})).to.equal('/own');
    expect(modelCacheDirectory({EIGENKV_CACHE: '', XDG_CACHE_HOME: '/xdg'})).to.equal('/xdg/eigenkv');
    expect(modelCacheDirectory({XDG_CACHE_HOME: 'relative'}))
      .to.match(/[\\/]eigenkv$/)
      .and.not.match(/relative/);
  });

  it('of the hub is that of its Python library', () => {
    const [own, hub, home, xdg] = ['/own', '/files', '/home', '/xdg'];
    const all = {EIGENKV_CACHE: own, HF_HUB_CACHE: hub, HF_HOME: home, XDG_CACHE_HOME: xdg};
    expect(hubCacheDirectory(all)).to.equal('/own/hub');
    expect(hubCacheDirectory({...all, EIGENKV_CACHE: ''})).to.equal('/files');
    expect(hubCacheDirectory({HF_HOME: home, XDG_CACHE_HOME: xdg})).to.equal('/home/hub');
    expect(hubCacheDirectory({XDG_CACHE_HOME: xdg})).to.equal('/xdg/huggingface/hub');
    expect(hubCacheDirectory({})).to.equal(join(homedir(), '.cache/huggingface/hub'));
  });

  it('finds plain file names only', async () => {
    for (const name of ['../x', 'a/b', '', '.', '..', 'a\\b'])
      await rejection(cachedModelPath(name), InvalidArgumentError);
    expect(await cachedModelPath('no-such-model.gguf')).to.equal(undefined);
  });
});

describe('downloads from the hub', () => {
  type Answer = (request: IncomingMessage, response: ServerResponse) => void;
  /** Answers by path; requests are noted as `GET path range`. */
  let answers: Record<string, Answer> = {};
  let requests: string[] = [];
  let server: Server;
  let options: HubOptions & {cacheDirectory: string};

  const content = Buffer.from(Array.from({length: 300_000}, (_, i) => (i * 31 + (i >> 8)) % 256));
  const sha256 = createHash('sha256').update(content).digest('hex');
  const modelPath = '/o/n/resolve/main/model.gguf';

  before(done => {
    server = createServer((request, response) => {
      requests.push([request.method, request.url, request.headers.range].filter(Boolean).join(' '));
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
    breakConnection = () => undefined;
    answers = {};
    requests = [];
    const {port} = server.address() as AddressInfo;
    const cacheDirectory = await mkdtemp(join(tmpdir(), 'eigenkv-'));
    options = {cacheDirectory, endpoint: `http://127.0.0.1:${port}`};
  });
  afterEach(() => rm(options.cacheDirectory, {recursive: true}));

  /** A file as the hub serves small ones: directly, with an etag and ranges. */
  function plain(body: Buffer | string, etag = '"v1"'): Answer {
    const bytes = Buffer.from(body);
    return (request, response) => {
      const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
      const part = bytes.subarray(start);
      const range = start > 0 ? {'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}`} : {};
      response.writeHead(start > 0 ? 206 : 200, {'content-length': part.length, etag, ...range});
      response.end(request.method === 'HEAD' ? undefined : part);
    };
  }

  /** A file as the hub serves large ones: a redirect that states size and hash, to a storage at `/storage`. */
  function linked(storage: Answer, hash = sha256, size = content.length): void {
    answers[modelPath] = (_request, response) => {
      response
        .writeHead(302, {location: '/storage', 'x-linked-etag': `"${hash}"`, 'x-linked-size': size})
        .end();
    };
    answers['/storage'] = storage;
  }

  /** Breaks the connection that `cutAfter` holds open. */
  let breakConnection: () => void = () => undefined;

  /** Sends the first `bytes` and breaks the connection once some of them came in; from then on answers as `then`. */
  function cutAfter(bytes: number, then: Answer): Answer {
    let isCut = false;
    return (request, response) => {
      if (request.method !== 'GET' || isCut) return then(request, response);
      response.writeHead(200, {'content-length': content.length}).write(content.subarray(0, bytes));
      breakConnection = () => {
        isCut = true;
        response.destroy();
      };
    };
  }

  const files = async (): Promise<string[]> => {
    const entries = await readdir(options.cacheDirectory, {recursive: true, withFileTypes: true});
    return entries
      .filter(entry => !entry.isDirectory())
      .map(entry => relative(options.cacheDirectory, join(entry.parentPath, entry.name)))
      .sort();
  };
  const repository = 'models--o--n';
  /** What is there of model.gguf once it was downloaded from a server that names no commit. */
  const whole = [`blobs/${sha256}`, 'refs/main', 'snapshots/main/model.gguf'].map(
    file => `${repository}/${file}`,
  );
  const fetchFile = (extra: HubOptions = {}) => {
    const onProgress = (step: TransferProgress) => {
      extra.onProgress?.(step);
      if (step.receivedBytes > 0) breakConnection();
    };
    return fetchModel('o/n:model.gguf', {...options, ...extra, onProgress});
  };

  it('keep the file and ask no more', async () => {
    linked(plain(content));
    const progress: TransferProgress[] = [];
    const path = await fetchFile({onProgress: step => progress.push(step)});
    expect(await readFile(path)).to.deep.equal(content);
    expect(await files()).to.deep.equal(whole);
    expect(requests).to.deep.equal([`HEAD ${modelPath}`, `GET ${modelPath}`, 'GET /storage']);
    expect(progress[0]).to.deep.equal({file: 'model.gguf', receivedBytes: 0, totalBytes: content.length});
    expect(progress.at(-1)?.receivedBytes).to.equal(content.length);
    for (let i = 1; i < progress.length; i++) {
      expect(progress[i]!.receivedBytes).to.be.greaterThan(progress[i - 1]!.receivedBytes);
    }
    expect(await fetchFile()).to.equal(path);
    expect(requests).to.have.length(3);
  });

  it('follow redirects from https to https only, and keep the token to the hub', async () => {
    const asked: {url: string; authorization: string | null}[] = [];
    /** A hub behind https whose file is at `storage`. */
    const fetchFrom = (storage: string, states = true) => ({
      endpoint: 'https://hub.test',
      token: 'secret',
      fetch: ((url: string, init: RequestInit) => {
        asked.push({url, authorization: new Headers(init.headers).get('authorization')});
        if (!url.startsWith('https://hub.test')) return Promise.resolve(new Response(content));
        const stated = {'x-linked-etag': `"${sha256}"`, 'x-linked-size': String(content.length)};
        const headers = {location: storage, ...(states && stated)};
        return Promise.resolve(new Response(null, {status: 302, headers}));
      }) as typeof fetch,
    });
    await fetchFile(fetchFrom('https://storage.test/x'));
    expect(asked.map(({url}) => new URL(url).host)).to.deep.equal(['hub.test', 'hub.test', 'storage.test']);
    expect(asked.map(({authorization}) => authorization)).to.deep.equal([
      'Bearer secret',
      'Bearer secret',
      null,
    ]);
    await rm(options.cacheDirectory, {recursive: true});
    for (const target of ['http://storage.test/x', 'file:///etc/hosts', 'data:,x', 'http://[']) {
      await rejection(fetchFile(fetchFrom(target)), TransferError, /only https/);
      await rejection(fetchFile(fetchFrom(target, false)), TransferError, /only https/);
    }
    await rejection(fetchFile(fetchFrom('https://hub.test/again')), TransferError, /more than 5 times/);
    await mkdir(options.cacheDirectory, {recursive: true});
    expect(await files()).to.deep.equal([]);
  });

  it('refuse files that are too large, stated or not', async () => {
    linked(plain(content));
    await rejection(fetchFile({maxBytes: content.length - 1}), TransferError, /larger than the 299999 bytes/);
    expect(requests).to.deep.equal([`HEAD ${modelPath}`]);
    answers[modelPath] = (request, response) => {
      response.writeHead(200); // says no length
      response.end(request.method === 'HEAD' ? undefined : content);
    };
    await rejection(fetchFile({maxBytes: content.length - 1}), TransferError, /larger than/);
    expect(await files()).to.deep.equal([]);
    await fetchFile({maxBytes: content.length});
  });

  it('continue after a cut', async () => {
    linked(cutAfter(100_000, plain(content)));
    const cut = await rejection(fetchFile(), TransferError, /model\.gguf was cut after \d+ bytes.*again/);
    const received = Number(/after (\d+) bytes/.exec(cut.message)?.[1]);
    expect(received).to.be.within(1, 100_000);
    expect((await files()).join()).to.match(/^models--o--n\/blobs\/[0-9a-f]{16}\.partial$/);
    requests = [];
    expect(await readFile(await fetchFile())).to.deep.equal(content);
    expect(requests).to.include(`GET /storage bytes=${received}-`);
    expect(await files()).to.deep.equal(whole);
  });

  it('start over where the server knows no ranges', async () => {
    const whole: Answer = (_request, response) =>
      response.writeHead(200, {'content-length': content.length}).end(content);
    linked(cutAfter(50_000, whole));
    await rejection(fetchFile(), TransferError);
    expect(await readFile(await fetchFile())).to.deep.equal(content);
  });

  it('do not join parts of different versions', async () => {
    linked(cutAfter(50_000, plain(content)), createHash('sha256').update('other').digest('hex'));
    await rejection(fetchFile(), TransferError);
    linked(plain(content));
    requests = [];
    expect(await readFile(await fetchFile())).to.deep.equal(content);
    expect(requests).to.include('GET /storage');
  });

  it('refuse a wrong hash and keep nothing', async () => {
    const damaged = Buffer.from(content);
    damaged[123_456]! ^= 1;
    linked(plain(damaged));
    await rejection(fetchFile(), TransferError, /SHA-256/);
    expect(await files()).to.deep.equal([]);
  });

  it('compare files that lie in git with its hash', async () => {
    const text = '{"vocab": "caf\u00e9"}\n';
    const oid = '8e343874d96eaea53de99ca73bd0878e951cecc6'; // git hash-object
    const answerOf = (body: string, header: Record<string, string>): Answer => {
      const serve = plain(body, `"${oid}"`);
      return (request, response) => {
        for (const [name, value] of Object.entries(header)) response.setHeader(name, value);
        serve(request, response);
      };
    };
    const ofHub = {'x-repo-commit': 'f'.repeat(40)};
    const damaged = text.replace('vocab', 'vocaB');
    answers[modelPath] = answerOf(damaged, ofHub);
    await rejection(fetchFile(), TransferError, new RegExp(`git SHA-1 [0-9a-f]{40}, not ${oid}`));
    expect(await files()).to.deep.equal([]);
    answers[modelPath] = answerOf(text, ofHub);
    expect(await readFile(await fetchFile(), 'utf8')).to.equal(text);
    // forty digits of a server that is no hub say nothing
    await rm(options.cacheDirectory, {recursive: true});
    answers[modelPath] = answerOf(damaged, {});
    expect(await readFile(await fetchFile(), 'utf8')).to.equal(damaged);
  });

  it('ask again where a kept connection is gone', async () => {
    linked(plain(content));
    const storage = answers['/storage']!;
    let gone = 0;
    answers['/storage'] = (request, response) => {
      if (gone++ === 0) request.socket.destroy();
      else storage(request, response);
    };
    expect(await readFile(await fetchFile())).to.deep.equal(content);
    expect(gone).to.equal(2);
    answers['/storage'] = request => request.socket.destroy();
    await rm(options.cacheDirectory, {recursive: true});
    await rejection(fetchFile(), TransferError, /cannot be reached/);
  });

  it('refuse more bytes than stated and keep nothing', async () => {
    linked(plain(Buffer.concat([content, content])));
    await rejection(fetchFile(), TransferError, /more than the 300000 bytes/);
    expect(await files()).to.deep.equal([]);
  });

  it('take fewer bytes than stated for a cut', async () => {
    linked(plain(content.subarray(0, 1000)));
    await rejection(fetchFile(), TransferError, /ended after 1000 of 300000/);
    expect(await cachedModelPath('model.gguf', options)).to.equal(undefined);
  });

  for (const [status, advice] of [
    [404, /There is no model\.gguf/],
    [401, /HF_TOKEN/],
    [403, /gated/],
    [429, /later/],
    [500, /later/],
    [503, /later/],
  ] as const) {
    it(`say what a status ${status} means`, async () => {
      answers[modelPath] = (_request, response) => response.writeHead(status).end();
      await rejection(fetchFile(), TransferError, advice);
      expect(await files()).to.deep.equal([]);
    });
  }

  it('end a circle of redirects', async () => {
    answers[modelPath] = (_request, response) => response.writeHead(302, {location: modelPath}).end();
    await rejection(fetchFile(), TransferError, /redirects/);
  });

  it('say that the network is not there', async () => {
    await rejection(
      fetchFile({endpoint: 'http://127.0.0.1:1'}),
      TransferError,
      /cannot be reached.*HF_ENDPOINT/,
    );
    const offline = () => Promise.reject(new TypeError('fetch failed'));
    await rejection(fetchFile({fetch: offline}), TransferError, /Check the network/);
  });

  it('refuse an endpoint that is no URL', async () => {
    await rejection(fetchFile({endpoint: 'ftp://x'}), InvalidArgumentError, /HF_ENDPOINT/);
  });

  it('say that the folder cannot be written', async () => {
    linked(plain(content));
    const cacheDirectory = join(options.cacheDirectory, 'file');
    await writeFile(cacheDirectory, '');
    await rejection(fetchFile({cacheDirectory}), TransferError, /Cannot write/);
  });

  it('say that the disk is full and keep nothing', async function () {
    const full = await lstat('/dev/full').catch(() => undefined);
    if (!full?.isCharacterDevice()) return skip(this, 'this system has no /dev/full');
    linked(plain(content));
    const tag = createHash('sha256').update(`${sha256} model.gguf`).digest('hex').slice(0, 16);
    const path = join(options.cacheDirectory, repository, 'blobs', `${tag}.partial`);
    await mkdir(dirname(path), {recursive: true});
    await symlink('/dev/full', path); // every write to this device fails with ENOSPC
    await rejection(fetchFile(), TransferError, /no space is left/);
    expect(await files()).to.deep.equal([]);
  });

  it('can be aborted and continued', async () => {
    linked(cutAfter(100_000, plain(content)));
    const abort = new AbortController();
    const stop = (step: TransferProgress) => {
      if (step.receivedBytes > 0) abort.abort();
    };
    await rejection(fetchFile({signal: abort.signal, onProgress: stop}), DOMException);
    expect(await readFile(await fetchFile())).to.deep.equal(content);
    expect(requests.some(request => request.includes('bytes='))).to.equal(true);
  });

  it('send the token to the hub', async () => {
    let authorization: string | undefined;
    answers[modelPath] = (request, response) => {
      authorization = request.headers.authorization;
      plain(content)(request, response);
    };
    await fetchFile({token: 'secret'});
    expect(authorization).to.equal('Bearer secret');
  });

  it('refuse compressed answers by name', async () => {
    for (const encoding of ['gzip', 'br', 'zstd']) {
      answers[modelPath] = (request, response) => {
        response.writeHead(200, {'content-encoding': encoding, 'content-length': 20});
        response.end(request.method === 'HEAD' ? undefined : gzipSync(''));
      };
      await rejection(
        fetchFile(),
        TransferError,
        new RegExp(`model.gguf answers in compressed form \\(content-encoding: ${encoding}\\)`),
      );
      expect(await files()).to.deep.equal([]);
    }
    answers[modelPath] = (request, response) => {
      response.setHeader('content-encoding', 'identity');
      plain(content)(request, response);
    };
    await fetchFile();
  });

  it('keep nothing that is not the file', async () => {
    const foreign: [body: Buffer | string, message: RegExp][] = [
      ['<!doctype html><title>Log in</title>', /is a web page, not the file.*It was removed/],
      ['version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n', /is a git-lfs pointer/],
      [gzipSync('GGUF'), /is compressed \(gzip\)/],
      ['', /is empty/],
    ];
    for (const [body, message] of foreign) {
      answers[modelPath] = plain(body);
      await rejection(fetchFile(), TransferError, message);
      expect(await files()).to.deep.equal([]);
    }
    answers['/o/n/resolve/main/page.html'] = plain('<!doctype html>');
    await fetchModel('o/n:page.html', options); // what was asked for
  });

  describe('of a whole model', () => {
    const at = (file: string) => `/o/n/resolve/v1/${file}`;
    const index = JSON.stringify({weight_map: {a: 'model-1.safetensors', b: 'model-2.safetensors'}});

    it('take config, tokenizer and weights, and then work offline', async () => {
      answers[at('config.json')] = plain('{}');
      answers[at('tokenizer.json')] = plain('{"model":{}}');
      answers[at('model.safetensors')] = plain('weights');
      const folder = await fetchModel('o/n@v1', options);
      expect((await readdir(folder)).sort()).to.deep.equal([
        'config.json',
        'model.safetensors',
        'tokenizer.json',
      ]);
      requests = [];
      expect(await fetchModel('o/n@v1', options)).to.equal(folder);
      expect(requests).to.deep.equal([]);
      await rm(join(folder, 'tokenizer.json'));
      await fetchModel('o/n@v1', options);
      expect(requests)
        .to.include(`GET ${at('tokenizer.json')}`)
        .and.not.include(`GET ${at('model.safetensors')}`);
    });

    it('take the older files of its tokenizer where they are', async () => {
      answers[at('model.safetensors')] = plain('weights');
      const all = [
        'added_tokens.json',
        'config.json',
        'special_tokens_map.json',
        'tokenizer.json',
        'tokenizer_config.json',
      ];
      for (const file of all) answers[at(file)] = plain('{}');
      const folder = await fetchModel('o/n@v1', options);
      expect(await readdir(folder)).to.include.members(all);
    });

    it('take an index and its shards', async () => {
      for (const file of ['config.json', 'tokenizer.json', 'tokenizer_config.json'])
        answers[at(file)] = plain('{}');
      answers[at('model.safetensors.index.json')] = plain(index);
      answers[at('model-1.safetensors')] = plain('one');
      answers[at('model-2.safetensors')] = plain('two');
      const folder = await fetchModel('o/n@v1', options);
      expect(await readFile(join(folder, 'model-2.safetensors'), 'utf8')).to.equal('two');
    });

    it('refuse an index that leads out of the folder', async () => {
      for (const file of ['config.json', 'tokenizer.json']) answers[at(file)] = plain('{}');
      answers[at('model.safetensors.index.json')] = plain(index.replace('model-1', '../../x'));
      await rejection(fetchModel('o/n@v1', options), FormatError, /plain name/);
      expect(await files()).to.not.include('model.safetensors.index.json');
    });

    it('say what is missing', async () => {
      await rejection(
        fetchModel('o/n@v1', options),
        TransferError,
        /no config\.json in o\/n@v1.*model\.gguf/,
      );
      answers[at('config.json')] = plain('{}');
      await rejection(fetchModel('o/n@v1', options), TransferError, /no tokenizer\.json/);
      answers[at('tokenizer.json')] = plain('{}');
      await rejection(fetchModel('o/n@v1', options), TransferError, /no safetensors/);
    });

    it('take one file by its name only if that is safe', async () => {
      await rejection(fetchModel('o/n:../x', options), InvalidArgumentError);
      answers['/o/n/resolve/main/sub/x.gguf'] = plain('x');
      expect(await readFile(await fetchModel('o/n:sub/x.gguf', options), 'utf8')).to.equal('x');
    });
  });
});
