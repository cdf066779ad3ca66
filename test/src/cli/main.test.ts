import {mkdtemp, readFile, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {expect} from 'chai';
import {InvalidArgumentError} from '../../../base/errors.js';
import {asPolicy, asStore, keeperNames, policyNames, storeNames} from '../../../cache/index.js';
import {evalCommand} from '../../../src/cli/eval.js';
import {generateCommand} from '../../../src/cli/generate.js';
import {memory} from '../../../src/cli/memory.js';
import type {Generation, GenerationSummary} from '../../../src/cli/support/generation.js';
import {byteSize} from '../../../base/units.js';
import {UsageError} from '../../../src/cli/support/usage_error.js';
import type {EvaluationReport} from '../../../src/report/report_table.js';
import {rejection} from '../../base/files/rejection.js';
import {shipped} from '../../cache/variants.js';
import {eigenkv} from './support/eigenkv.js';

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

  it('lists the options of every policy, keeper and codec', () => {
    const made = [
      ...shipped([...policyNames(), ...keeperNames()]).map(name => asPolicy(name)),
      ...shipped(storeNames()).map(name => ({name, options: {...asStore(name).options}})),
    ];
    const words = evalCommand.usage().replaceAll(/\s+/g, ' ');
    for (const {name, options} of made) {
      const listed = [...words.matchAll(new RegExp(` ${name} ((?:\\w+, )*(?:\\w+|no options)) `, 'g'))].map(
        ([, names]) => names!.split(', '),
      );
      const has = (names: readonly string[]) => Object.keys(options).every(key => names.includes(key));
      expect(listed.some(has), name).to.equal(true);
    }
    expect(memory.usage()).to.not.include('recentBudget');
  });

  it('answers typing errors with what is near, in one line and with code 2', async () => {
    const results = await Promise.all([
      eigenkv('evl'),
      eigenkv('memory', '--dept', '3'),
      eigenkv('generate', 'x', '--max-tokens', '8'),
      eigenkv('generate', '--tokens', '8'),
      eigenkv('memory', '--depths', '3', '--columns', 'dtype,byte'),
    ]);
    const expected = [
      /no command "evl".*Did you mean "eval"\?$/,
      /^There is no option --dept\. Did you mean "--depths"\? \(eigenkv memory --help shows all\.\)$/,
      /^There is no option --max-tokens\. Did you mean "--tokens"\?/,
      /^PROMPT is missing/,
      /no column "byte"; there are dtype, bytes, size, float32, all\. Did you mean "bytes"\?$/,
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
    await rejection(memory.run([...shape, 'x']), UsageError, /Unexpected argument "x"/);
    await rejection(memory.run([...shape, '--json=3']), UsageError, /--json takes no value/);
    await rejection(memory.run([...shape, '--bytes', '-2']), UsageError, /--bytes = "-2"/);

    const none = join(folder, 'none');
    for (const share of ['0', '1.5', 'x']) {
      const refusal = /^--top-p = ".*"; expected a number above 0, at most 1\.$/;
      await rejection(generateCommand.run(['x', '--top-p', share]), UsageError, refusal);
    }
    await rejection(generateCommand.run([]), UsageError, /PROMPT is missing/);
    for (const bias of ['a=1', '5', '5=', '5=NaN', '5=Infinity']) {
      await rejection(
        generateCommand.run(['x', '--logit-bias', bias]),
        UsageError,
        /--logit-bias = ".*"; expected a token's id and a number/,
      );
    }
    await rejection(
      generateCommand.run(['x', '--plan', 'quantised']),
      InvalidArgumentError,
      /Did you mean "quantized"/,
    );
    await rejection(generateCommand.run(['x', '--plan', 'all']), UsageError, /one plan/);
    await rejection(generateCommand.run(['x', '--top-p', '']), UsageError, /--top-p needs a value/);
    await rejection(
      evalCommand.run(['--plan', `${none}.json`]),
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
    expect(memory.usage()).to.contain('Examples').and.to.contain('eigenkv memory --depths 32');
  });

  it('eval: a JSON report, its files, and nothing on stderr in a pipe', async () => {
    const args = [
      '--tokens',
      '60',
      '--chunk',
      '16',
      '--plan',
      'quantized:bits=4,residual=2',
      '--plan',
      'full',
    ];
    const {code, stdout, stderr} = await eigenkv(
      ...['eval', ...args, '--json', '--out', folder],
      ...['--report', join(folder, 'page.html')],
    );
    expect({code, stderr}).to.deep.equal({code: 0, stderr: ''});
    const report = JSON.parse(stdout) as EvaluationReport;
    expect(report).to.include({model: 'embedded', tokens: 60, chunk: 16, backend: 'wasm'});
    expect(report.rows.map(({plan}) => plan)).to.deep.equal(['full', 'quantized:bits=4,residual=2']);
    expect(report.rows.map(row => row.predictedKl)).to.deep.equal([0, undefined]); // newest tokens are read most
    for (const row of report.rows) {
      expect(Object.keys(row).filter(key => key !== 'predictedKl')).to.have.members([
        'plan',
        'perplexity',
        'perplexityStderr',
        'changeStderr',
        'klDivergence',
        'klStderr',
        'top1Agreement',
        'bytesPerToken',
        'bytesPerTokenOfDepths',
        'ratioToFloat32',
        'ratioToFloat16',
        'prefillTokensPerSecond',
        'decodeTokensPerSecond',
        'peakBytes',
      ]);
      for (const [key, value] of Object.entries(row)) {
        if (key !== 'plan')
          expect([value].flat(), key).to.satisfy((all: unknown[]) => all.every(Number.isFinite));
      }
    }
    expect(JSON.parse(await readFile(join(folder, 'report.json'), 'utf8'))).to.deep.equal(report);
    expect(await readFile(join(folder, 'chart.svg'), 'utf8')).to.match(/^<svg/);
    expect(await readFile(join(folder, 'page.html'), 'utf8')).to.contain('quantized:bits=4,residual=2</td>');
  });

  it('generate: tells how probable tokens were, and forbids some', async () => {
    const run = async (...args: string[]) => {
      const {stdout} = await eigenkv(
        'generate',
        'It was',
        '--tokens',
        '2',
        '--json',
        '--logprobs',
        '2',
        ...args,
      );
      return (JSON.parse(stdout) as Generation).logprobs!;
    };
    const [first, second] = await run();
    expect(first!.top).to.have.length(2);
    expect(first!.top[0]).to.deep.equal({id: first!.id, logprob: first!.logprob});
    expect(second!.logprob).to.be.below(0);
    const [other] = await run('--logit-bias', `${first!.id}=-Infinity`, '--min-p', '0.1');
    expect(other!.id).to.equal(first!.top[1]!.id);
  });

  it('generate: streams the text, the same for the same seed', async () => {
    const args = ['It was a fine morning', '--tokens', '8', '--temperature', '0.8', '--seed', '1'];
    const [text, json] = await Promise.all([
      eigenkv('generate', ...args, '--plan', 'quantized'),
      eigenkv('generate', ...args, '--plan', 'quantized', '--json'),
    ]);
    expect([text.code, json.code, json.stderr]).to.deep.equal([0, 0, '']);
    const {text: generated, ...rest} = JSON.parse(json.stdout) as {text: string} & GenerationSummary;
    expect(text.stdout).to.equal(`${generated}\n`);
    expect(rest).to.include({model: 'embedded', plan: 'quantized', prompt: 'It was a fine morning'});
    const {tokens, cacheTokens, cacheBytes, float32Bytes, ratioToFloat32, tokensPerSecond, seconds} = rest;
    expect(tokens).to.equal(8);
    // keys and values of 9 depths, 2 heads, 64 numbers, 4 bytes
    expect(float32Bytes).to.equal(cacheTokens * 2 * 9 * 2 * 64 * 4);
    expect(ratioToFloat32).to.equal(cacheBytes / float32Bytes);
    expect(tokensPerSecond).to.be.above(0);
    expect(seconds).to.be.above(0);
    expect(text.stderr).to.match(
      /^8 tokens, [\d.,]+ tokens\/s; cache of \d+ tokens: [\d.]+ KiB, .* float32 \([\d.]+ KiB\)\n$/,
    );
    expect(text.stderr).to.contain(`cache of ${cacheTokens} tokens: ${byteSize(cacheBytes)}, `);
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
