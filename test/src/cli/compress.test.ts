import {expect} from 'chai';
import {access, mkdtemp, readFile, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {FormatError, InvalidArgumentError, ModelError} from '../../../base/errors.js';
import {loadCalibration, loadTransformProfile} from '../../../models/index.js';
import {calibrateCommand} from '../../../src/cli/calibrate.js';
import {compressCommand} from '../../../src/cli/compress.js';
import {evalCommand} from '../../../src/cli/eval.js';
import {UsageError} from '../../../src/cli/support/usage_error.js';
import {rejection} from '../../base/files/rejection.js';
import {printed} from './support/printed.js';

describe('eigenkv calibrate and compress', () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'eigenkv-compress-'));
  });
  after(() => rm(folder, {recursive: true}));
  const at = (name: string) => join(folder, name);

  it('from a text to a model that eval reads', async () => {
    const [a, b, both, out] = [at('a.safetensors'), at('b.safetensors'), at('both.safetensors'), at('model')];
    expect(
      await printed(() => calibrateCommand.run(['--tokens', '200', '--gradients', '40', '--out', a])),
    ).to.match(/Wrote .*a\.safetensors: 200 tokens at 9 depths of the model [0-9a-f]{16}/);
    await writeFile(at('text.txt'), 'And God said, Let there be light: and there was light. '.repeat(20));
    const json = await printed(() =>
      calibrateCommand.run([
        '--text',
        at('text.txt'),
        '--tokens',
        '150',
        '--window',
        '64',
        '--out',
        b,
        '--json',
      ]),
    );
    expect(JSON.parse(json)).to.include({tokens: 150, depths: 9});
    await printed(() => calibrateCommand.run(['--merge', a, b, '--out', both]));
    const args = [
      ...['--calibration', both, '--method', 'fisher', '--ratio', '0.5', '--spread', 'uniform'],
      ...['--plan', 'quantized:bits=4', '--dtype', 'F16', '--out', out],
    ];
    const table = await printed(() => compressCommand.run(args));
    expect(table).to.contain('1,152 of 2,304 numbers per token are stored: 50 % of the cache');
    expect(table).to.contain(`eigenkv eval --model ${out} --against embedded\n`);
    const report = await printed(() =>
      evalCommand.run(['--model', out, '--tokens', '40', '--plan', 'full', '--json']),
    );
    const {rows} = JSON.parse(report) as {rows: {ratioToFloat32: number; perplexity: number}[]};
    expect(rows[0]!.ratioToFloat32).to.be.within(0.5, 0.61); // spare room included
    expect(rows[0]!.perplexity).to.be.above(1).and.below(500);
  });

  it('writes a profile of the transform codec, from a text and from merged calibrations', async () => {
    const [a, profile, again] = [at('c.safetensors'), at('profile.safetensors'), at('again.safetensors')];
    const args = [
      '--tokens',
      '300',
      '--gradients',
      '200',
      '--window',
      '150',
      '--out',
      a,
      '--profile',
      profile,
    ];
    expect(await printed(() => calibrateCommand.run(args))).to.match(
      /Wrote .*profile\.safetensors: the profile/,
    );
    const made = await loadTransformProfile(profile);
    expect(made).to.deep.include({tokens: 292, texts: ['train_sample']}); // without the first four of each window
    await printed(() =>
      calibrateCommand.run(['--merge', a, a, '--out', at('d.safetensors'), '--profile', again]),
    );
    expect((await loadTransformProfile(again)).tokens).to.equal(2 * 292);
    const [merged, none] = [at('merged.safetensors'), at('none.safetensors')];
    await printed(() => calibrateCommand.run(['--tokens', '100', '--out', at('e.safetensors')]));
    const said = await printed(async () => {
      const refused = calibrateCommand.run([
        ...['--merge', at('e.safetensors'), at('e.safetensors')],
        ...['--out', merged, '--profile', none],
      ]);
      await rejection(refused, InvalidArgumentError, /no statistics of transforms.*--gradients/);
    });
    expect(said).to.match(/Wrote .*merged\.safetensors: 200 tokens/);
    expect((await loadCalibration(merged)).tokens).to.equal(200);
    await rejection(access(none), Error, /ENOENT/);
  });

  it('refuses too few tokens for a profile, and a profile of another model', async () => {
    const [kept, never, other] = [
      at('kept.safetensors'),
      at('never.safetensors'),
      at('other_profile.safetensors'),
    ];
    const outputs = ['--out', kept, '--profile', never];
    await writeFile(at('short.txt'), 'a');
    const cases: [string[], RegExp][] = [
      [
        ['--tokens', '60'],
        /has 56 tokens and gradients of 0 tokens; transforms of heads with 64 numbers need at least 64 of each/,
      ],
      [['--tokens', '200', '--gradients', '100'], /gradients of 60 tokens.*Calibrate with longer texts/],
      [['--text', at('short.txt')], /on texts of more than 4 tokens/],
    ];
    for (const [args, message] of cases) {
      await rm(kept, {force: true});
      await printed(async () => {
        await rejection(calibrateCommand.run([...args, ...outputs]), InvalidArgumentError, message);
      });
      expect((await loadCalibration(kept)).depths).to.have.length(9); // minutes of a larger model
      await rejection(access(never), Error, /ENOENT/);
    }
    const bytes = (await readFile(at('profile.safetensors'))).toString('latin1');
    await writeFile(
      other,
      Buffer.from(bytes.replace(/"fingerprint":"\w{8}/, '"fingerprint":"01234567'), 'latin1'),
    );
    const used = evalCommand.run(['--profile', other, '--plan', 'transform', '--tokens', '64']);
    await rejection(
      used,
      ModelError,
      /of another model: .* 01234567.*Make one of this model with.*--profile FILE/,
    );
  });

  it('compress --json says the same to programs', async () => {
    const json = await printed(() =>
      compressCommand.run([
        ...[
          '--calibration',
          at('both.safetensors'),
          '--ranks',
          '32,24',
          '--rope-mode',
          'after',
          '--method',
          'eigen',
        ],
        ...['--center', '--out', at('other'), '--json'],
      ]),
    );
    const {ratio, compression, rows} = JSON.parse(json) as Record<string, never>;
    expect(ratio).to.equal(56 / 128);
    expect(compression).to.deep.include({ropeMode: 'after', centered: true});
    expect(rows).to.have.length(9);
  });

  it('says what is missing or wrong before a model is loaded', async () => {
    const out = ['--out', at('never')];
    await writeFile(at('empty.txt'), ' ');
    await writeFile(at('note.safetensors'), 'x'.repeat(100));
    const cases: [() => Promise<void>, new (...args: never[]) => Error, RegExp][] = [
      [() => calibrateCommand.run([]), UsageError, /--out is missing/],
      [() => calibrateCommand.run(['x', ...out]), UsageError, /Unexpected argument "x"/],
      [() => calibrateCommand.run([...out, '--profile', out[1]!]), UsageError, /name the same file/],
      [() => calibrateCommand.run(['--merge', 'a', ...out]), UsageError, /two files or more/],
      [() => calibrateCommand.run(['--tokens', '0', ...out]), UsageError, /--tokens = "0"/],
      [() => calibrateCommand.run(['--text', at('empty.txt'), ...out]), InvalidArgumentError, /is empty/],
      [() => calibrateCommand.run(['--text', at('none'), ...out]), InvalidArgumentError, /cannot be read/],
      [() => compressCommand.run(['--calibration', 'c']), UsageError, /--out is missing/],
      [
        () => compressCommand.run(out),
        UsageError,
        /--calibration is missing: The file that "eigenkv calibrate/,
      ],
      [() => compressCommand.run(['--calibration', at('none'), ...out]), InvalidArgumentError, /none/],
      [() => compressCommand.run(['--calibration', at('note.safetensors'), ...out]), FormatError, /note/],
      [
        () => compressCommand.run(['--calibration', 'c', '--ranks', '3', ...out]),
        UsageError,
        /--ranks = "3"/,
      ],
      [
        () => compressCommand.run(['--calibration', 'c', '--out', at('small.gguf')]),
        UsageError,
        /GGUF has no place for a compressed model; give a folder/,
      ],
      [
        () => compressCommand.run(['--calibration', 'c', '--dtype', 'F8', ...out]),
        UsageError,
        /--dtype = "F8"; expected one of F32, F16/,
      ],
      [
        () => compressCommand.run(['--calibration', 'c', '--plan', 'quantised', ...out]),
        InvalidArgumentError,
        /quantized/,
      ],
    ];
    for (const [run, type, message] of cases) await rejection(run(), type, message);
    const wrong = ['--calibration', at('both.safetensors'), '--method', 'svdd', ...out];
    await rejection(compressCommand.run(wrong), UsageError, /svd, eigen, kqSvd.*Did you mean "svd"/);
  });
});
