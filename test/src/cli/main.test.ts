import {spawn} from 'node:child_process';
import {mkdtemp, readFile, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {expect} from 'chai';
import {InvalidArgumentError} from '../../../ops/errors.js';
import {evalCommand} from '../../../src/cli/eval.js';
import {generateCommand} from '../../../src/cli/generate.js';
import {memory} from '../../../src/cli/memory.js';
import {UsageError} from '../../../src/cli/support/usage_error.js';
import type {EvaluationReport} from '../../../src/evaluate/index.js';
import {rejection} from '../../models/weights/rejection.js';

interface Result {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The command line as its users run it: a process of its own, its output piped. */
function eigenkv(...args: string[]): Promise<Result> {
  const root = fileURLToPath(new URL('../../..', import.meta.url));
  const child = spawn(process.execPath, ['--import', 'tsx', 'src/cli/main.ts', ...args], {cwd: root});
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (data: Buffer) => (stdout += data.toString()));
  child.stderr.on('data', (data: Buffer) => (stderr += data.toString()));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', code => resolve({code, stdout, stderr}));
  });
}

const lines = (text: string) => text.trimEnd().split('\n');

describe('eigenkv', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'eigenkv-cli-'));
  });
  after(() => rm(folder, {recursive: true}));

  it('shows its commands, and asks for one', async () => {
    const [help, nothing] = await Promise.all([eigenkv('--help'), eigenkv()]);
    expect(help).to.include({code: 0, stderr: ''});
    for (const name of ['demo', 'eval', 'generate', 'inspect', 'memory'])
      expect(help.stdout).to.contain(name);
    expect(nothing).to.deep.equal({...help, code: 2});
  });

  it('answers typing errors with what is near, in one line and with code 2', async () => {
    const results = await Promise.all([eigenkv('evl'), eigenkv('memory', '--dept', '3')]);
    const expected = [
      /no command "evl".*Did you mean "eval"\?$/,
      /no option --dept\b.*Did you mean "depths"\?$/,
    ];
    for (const [i, {code, stdout, stderr}] of results.entries()) {
      expect(stderr.trimEnd()).to.match(expected[i]!);
      expect(lines(stderr)).to.have.length(1);
      expect({code, stdout}).to.deep.equal({code: 2, stdout: ''});
    }
  });

  it('refuses what it cannot run before anything is loaded', async () => {
    const shape = ['--depths', '3', '--kv-heads', '3', '--dim', '3', '--tokens', '3'];
    await rejection(
      memory.run(['--depths', 'three']),
      UsageError,
      /--depths = "three"; expected a whole number/,
    );
    await rejection(memory.run(['--depths', '3']), UsageError, /--kv-heads, --dim, --tokens missing/);
    await rejection(memory.run(['--depths']), UsageError, /--depths needs a value/);
    await rejection(memory.run([...shape, 'x']), UsageError, /"x" is one argument too many/);
    await rejection(memory.run([...shape, '--json=3']), UsageError, /--json takes no value/);
    await rejection(memory.run([...shape, '--bytes', '-2']), UsageError, /--bytes = "-2"/);

    const none = join(folder, 'none');
    await rejection(generateCommand.run([]), Error, /PROMPT/);
    await rejection(
      generateCommand.run(['x', '--policy', 'quantised']),
      InvalidArgumentError,
      /Did you mean "quantized"/,
    );
    await rejection(generateCommand.run(['x', '--policy', 'all']), UsageError, /one plan/);
    await rejection(generateCommand.run(['x', '--top-p', '']), UsageError, /--top-p needs a value/);
    await rejection(
      evalCommand.run(['--policy', `${none}.json`]),
      InvalidArgumentError,
      /none\.json cannot be read/,
    );
    await rejection(evalCommand.run(['--text', none]), InvalidArgumentError, /none cannot be read/);
    await rejection(evalCommand.run(['--backend', 'wsm']), InvalidArgumentError, /Did you mean "wasm"/);
  });

  it('memory: the cache of LLaMA-7B is 2 GiB', async () => {
    const shape = ['--depths', '32', '--kv-heads', '32', '--dim', '128', '--tokens', '4096', '--bytes', '2'];
    const [text, json] = await Promise.all([
      eigenkv('memory', ...shape),
      eigenkv('memory', ...shape, '--json'),
    ]);
    expect(text.stdout).to.contain('= 2.00 GiB').and.to.contain('2.0x smaller');
    expect(text.stdout).not.to.contain('\u001b'); // no colours in a pipe
    expect(JSON.parse(json.stdout)).to.include({bytes: 2 ** 31, depths: 32, tokens: 4096, batch: 1});
    expect(await memory.usage())
      .to.contain('EXAMPLES')
      .and.to.contain('eigenkv memory --depths 32');
  });

  it('eval: a JSON report, its files, and nothing on stderr in a pipe', async () => {
    const args = [
      '--tokens',
      '60',
      '--step',
      '16',
      '--policy',
      'quantized:bits=4,residual=0',
      '--policy',
      'full',
    ];
    const {code, stdout, stderr} = await eigenkv(
      ...['eval', ...args, '--json', '--out', folder],
      ...['--report', join(folder, 'page.html')],
    );
    expect({code, stderr}).to.deep.equal({code: 0, stderr: ''});
    const report = JSON.parse(stdout) as EvaluationReport;
    expect(report).to.include({model: 'embedded', tokens: 60, step: 16, backend: 'wasm'});
    expect(report.rows.map(({policy}) => policy)).to.deep.equal(['full', 'quantized:bits=4,residual=0']);
    for (const row of report.rows) {
      expect(Object.keys(row)).to.have.members([
        'policy',
        'perplexity',
        'perplexityStderr',
        'klDivergence',
        'top1Agreement',
        'bytesPerToken',
        'ratioToFloat32',
        'ratioToFloat16',
        'prefillTokensPerSecond',
        'decodeTokensPerSecond',
        'peakBytes',
      ]);
      for (const [key, value] of Object.entries(row)) {
        if (key !== 'policy') expect(value, key).to.satisfy(Number.isFinite);
      }
    }
    expect(JSON.parse(await readFile(join(folder, 'report.json'), 'utf8'))).to.deep.equal(report);
    expect(await readFile(join(folder, 'chart.svg'), 'utf8')).to.match(/^<svg/);
    expect(await readFile(join(folder, 'page.html'), 'utf8')).to.contain('quantized:bits=4,residual=0</td>');
  });

  it('generate: streams the text, the same for the same seed', async () => {
    const args = ['It was a fine morning', '--max-tokens', '8', '--temperature', '0.8', '--seed', '1'];
    const [text, json] = await Promise.all([
      eigenkv('generate', ...args, '--policy', 'quantized'),
      eigenkv('generate', ...args, '--policy', 'quantized', '--json'),
    ]);
    expect(text).to.include({code: 0, stderr: ''});
    const {text: generated, ...rest} = JSON.parse(json.stdout) as {text: string};
    expect(text.stdout).to.equal(`${generated}\n`);
    expect(rest).to.include({model: 'embedded', policy: 'quantized', prompt: 'It was a fine morning'});
  });

  it('says where an error is from only when asked', async () => {
    const broken = join(folder, 'broken.gguf');
    await writeFile(broken, 'GGUF and nothing else');
    const [brief, verbose] = await Promise.all([
      eigenkv('inspect', broken),
      eigenkv('inspect', broken, '--verbose'),
    ]);
    expect(brief.code).to.equal(1);
    expect(lines(brief.stderr)).to.have.length(1);
    expect(verbose.code).to.equal(1);
    expect(verbose.stderr).to.match(/FormatError: .*\n +at /);
  });
});
