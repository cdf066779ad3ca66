import {expect} from 'chai';
import {createHash} from 'node:crypto';
import {lstat, mkdir, mkdtemp, readFile, readdir, readlink, rm, symlink, writeFile} from 'node:fs/promises';
import {type IncomingMessage, type Server, type ServerResponse, createServer} from 'node:http';
import type {AddressInfo} from 'node:net';
import {tmpdir} from 'node:os';
import {dirname, join} from 'node:path';
import {TransferError} from '../../../base/errors.js';
import {type HubOptions, fetchModel} from '../../../models/hub/index.js';
import {rejection} from '../../base/files/rejection.js';

const [first, second] = ['1'.repeat(40), '2'.repeat(40)];
const whole = {'config.json': '{}', 'tokenizer.json': '{"model":{}}', 'model.safetensors': 'weights'};

/** What git calls a content. */
const gitHash = (text: string) =>
  createHash('sha1')
    .update(`blob ${Buffer.byteLength(text)}\0${text}`)
    .digest('hex');

describe('the cache that Python shares', () => {
  /** Files by commit, and the commit of main, on a server that answers as the hub does. */
  let commits: Record<string, Record<string, string>>;
  let main: string;
  let saysErrors: boolean;
  let requests: string[];
  let server: Server;
  let options: HubOptions & {cacheDirectory: string};

  function answer({method = '', url = ''}: IncomingMessage, response: ServerResponse): void {
    const [, revision = '', file = ''] = /^\/o\/n\/resolve\/([^/]+)\/(.+)$/.exec(url) ?? [];
    requests.push(`${method} ${revision.slice(0, 5)} ${file}`);
    const commit = revision === 'main' ? main : revision;
    const body = commits[commit]?.[file];
    if (body === undefined) {
      const code = commits[commit] === undefined ? 'RevisionNotFound' : 'EntryNotFound';
      response.writeHead(404, saysErrors ? {'x-error-code': code} : {}).end();
      return;
    }
    const etag = `"${gitHash(body)}"`;
    response.writeHead(200, {'x-repo-commit': commit, etag, 'content-length': Buffer.byteLength(body)});
    response.end(method === 'HEAD' ? undefined : body);
  }

  before(done => {
    server = createServer(answer).listen(0, '127.0.0.1', done);
  });
  after(done => {
    server.closeAllConnections();
    server.close(done);
  });
  beforeEach(async () => {
    commits = {[first]: {...whole}};
    main = first;
    saysErrors = true;
    requests = [];
    const {port} = server.address() as AddressInfo;
    const cacheDirectory = await mkdtemp(join(tmpdir(), 'eigenkv-'));
    options = {cacheDirectory, endpoint: `http://127.0.0.1:${port}`};
  });
  afterEach(() => rm(options.cacheDirectory, {recursive: true}));

  const inRepository = (...parts: string[]) => join(options.cacheDirectory, 'models--o--n', ...parts);
  const write = async (path: string, text: string): Promise<void> => {
    await mkdir(dirname(path), {recursive: true});
    await writeFile(path, text);
  };

  it('holds commit, blobs and links as huggingface_hub lays them out', async () => {
    const folder = await fetchModel('o/n', options);
    expect(folder).to.equal(inRepository('snapshots', first));
    expect(await readFile(inRepository('refs/main'), 'utf8')).to.equal(first);
    const blobs = Object.values(whole).map(gitHash).sort();
    expect((await readdir(inRepository('blobs'))).sort()).to.deep.equal(blobs);
    expect(await readlink(join(folder, 'config.json'))).to.equal(
      join('..', '..', 'blobs', gitHash(whole['config.json'])),
    );
    expect(await readdir(inRepository('.no_exist', first))).to.include('chat_template.jinja');
  });

  it('gives what Python downloaded without a request', async () => {
    for (const [file, text] of Object.entries(whole)) {
      await write(inRepository('blobs', gitHash(text)), text);
      await mkdir(inRepository('snapshots', first), {recursive: true});
      await symlink(join('..', '..', 'blobs', gitHash(text)), inRepository('snapshots', first, file));
    }
    await write(inRepository('refs/main'), first);
    expect(await fetchModel('o/n:model.safetensors', options)).to.equal(
      inRepository('snapshots', first, 'model.safetensors'),
    );
    expect(requests).to.deep.equal([]);
    const folder = await fetchModel('o/n', options);
    expect(folder).to.equal(inRepository('snapshots', first));
    expect(requests).to.not.be.empty;
    expect(requests.every(request => request.startsWith('HEAD'))).to.equal(true); // of optional files
    requests = [];
    await fetchModel('o/n', options);
    expect(requests).to.deep.equal([]);
  });

  it('takes all files of a branch from one commit', async () => {
    await fetchModel('o/n:config.json', options);
    commits[second] = {...whole, 'config.json': '{"new":1}', 'model.safetensors': 'other weights'};
    main = second;
    const folder = await fetchModel('o/n', options);
    expect(await readFile(join(folder, 'model.safetensors'), 'utf8')).to.equal('weights');
    const named = await fetchModel(`o/n@${second}`, options);
    expect(await readFile(join(named, 'model.safetensors'), 'utf8')).to.equal('other weights');
    expect(await readFile(inRepository('refs/main'), 'utf8')).to.equal(first);
  });

  it('downloads a content once', async () => {
    await fetchModel('o/n', options);
    commits[second] = {...whole, 'config.json': '{"new":1}'};
    requests = [];
    await fetchModel(`o/n@${second}`, options);
    expect(requests.filter(request => request.startsWith('GET'))).to.deep.equal(['GET 22222 config.json']);
  });

  it('remembers what a commit lacks only if the commit is known', async () => {
    for (const says of [true, false]) {
      saysErrors = says;
      await rejection(fetchModel(`o/n@${second}`, options), TransferError, /no config\.json/);
      commits[second] = whole;
      await fetchModel(`o/n@${second}`, options);
      requests = [];
      await fetchModel(`o/n@${second}`, options);
      expect(requests).to.deep.equal([]);
      commits = {[first]: whole};
      await rm(inRepository(), {recursive: true});
    }
  });

  it('is all that is used offline', async () => {
    const offline = {...options, offline: true};
    await rejection(fetchModel('o/n', offline), TransferError, /no config\.json/);
    await rejection(
      fetchModel('o/n:model.gguf', offline),
      TransferError,
      /not downloaded yet.*HF_HUB_OFFLINE/,
    );
    expect(requests).to.deep.equal([]);
    const folder = await fetchModel('o/n', options);
    requests = [];
    await rm(inRepository('.no_exist'), {recursive: true});
    expect(await fetchModel('o/n', offline)).to.equal(folder);
    expect(requests).to.deep.equal([]);
  });

  it('heals a link whose blob was deleted', async () => {
    const path = await fetchModel('o/n:model.safetensors', options);
    await rm(inRepository('blobs'), {recursive: true});
    expect(await fetchModel('o/n:model.safetensors', options)).to.equal(path);
    expect(await readFile(path, 'utf8')).to.equal('weights');
  });

  it('takes a reference that leads elsewhere for none', async () => {
    await write(join(options.cacheDirectory, 'secret', 'config.json'), 'secret');
    await write(inRepository('refs/main'), '../../secret');
    const path = await fetchModel('o/n:config.json', options);
    expect(await readFile(path, 'utf8')).to.equal('{}');
  });

  it('bears two downloads of a file at once', async () => {
    commits[first] = {'model.gguf': 'GGUF'.repeat(100_000)};
    const paths = await Promise.all([1, 2, 3].map(() => fetchModel('o/n:model.gguf', options)));
    expect(new Set(paths).size).to.equal(1);
    expect(await readFile(paths[0]!, 'utf8')).to.equal(commits[first]['model.gguf']);
    expect(await readdir(inRepository('blobs'))).to.have.length(1);
  });

  it('holds files themselves if the system refuses links', async () => {
    const files = process.getBuiltinModule('node:fs/promises');
    const link = files.symlink;
    files.symlink = () => Promise.reject(Object.assign(new Error('not permitted'), {code: 'EPERM'}));
    try {
      const path = await fetchModel('o/n:model.safetensors', options);
      expect((await lstat(path)).isSymbolicLink()).to.equal(false);
      expect(await readFile(path, 'utf8')).to.equal('weights');
      expect(await readdir(inRepository('blobs'))).to.deep.equal([]);
    } finally {
      files.symlink = link;
    }
  });

  describe('does not hide what earlier versions downloaded:', () => {
    const former = (...parts: string[]) => join(options.cacheDirectory, 'hub', 'o', 'n', 'main', ...parts);

    it('a whole model', async () => {
      for (const [file, text] of Object.entries(whole)) await write(former(file), text);
      await write(former('eigenkv_complete.json'), JSON.stringify(Object.keys(whole)));
      expect(await fetchModel('o/n', options)).to.equal(former());
      expect(requests).to.deep.equal([]);
      await rm(former('model.safetensors'));
      expect(await fetchModel('o/n', options)).to.equal(inRepository('snapshots', first));
    });

    it('a file, with all its parts only', async () => {
      await write(former('model.gguf'), 'GGUF');
      expect(await fetchModel('o/n:model.gguf', options)).to.equal(former('model.gguf'));
      const [one, two] = ['sub/m-00001-of-00002.gguf', 'sub/m-00002-of-00002.gguf'];
      await write(former(one), 'GGUF 1');
      commits[first] = {[one]: 'GGUF 1', [two]: 'GGUF 2'};
      expect(await fetchModel(`o/n:${one}`, options)).to.equal(inRepository('snapshots', first, one));
      await write(former(two), 'GGUF 2');
      expect(await fetchModel(`o/n:${one}`, options)).to.equal(former(one));
    });
  });
});
