import {copyFile, mkdir, mkdtemp, readFile, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {expect} from 'chai';
import {embeddedText, loadModel} from '../../../models/index.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {InvalidArgumentError} from '../../../base/errors.js';
import {calibrateCommand} from '../../../src/cli/calibrate.js';
import {compressCommand} from '../../../src/cli/compress.js';
import {evalCommand} from '../../../src/cli/eval.js';
import {evaluate} from '../../../src/evaluate/index.js';
import {UsageError} from '../../../src/cli/support/usage_error.js';
import type {EvaluationReport} from '../../../src/report/report_table.js';
import {rejection} from '../../base/files/rejection.js';
import {printed} from './support/printed.js';

const tokens = 48;

describe('eval --against', () => {
  let folder: string;
  let small: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'eigenkv-against-'));
    small = join(folder, 'small model');
    const calibration = join(folder, 'a.safetensors');
    await printed(() => calibrateCommand.run(['--tokens', '200', '--out', calibration]));
    const text = await printed(() =>
      compressCommand.run([
        ...['--calibration', calibration, '--ratio', '0.5', '--spread', 'uniform'],
        ...['--plan', 'quantized:bits=4', '--out', small],
      ]),
    );
    // as a shell takes it, for the path has a space
    expect(text).to.contain(`eigenkv eval --model '${small}' --against embedded\n`);
  });
  after(() => rm(folder, {recursive: true}));

  const report = async (...args: string[]) =>
    JSON.parse(
      await printed(() => evalCommand.run(['--tokens', String(tokens), '--chunk', '16', '--json', ...args])),
    ) as EvaluationReport;

  it('says what weights of fewer bits cost, against the same model', async () => {
    const cost = async (weights: string) => {
      const {model, rows} = await report('--weights', weights, '--against', 'embedded');
      expect(model).to.equal(`embedded (${weights})`);
      expect(rows[0]!.plan).to.equal('embedded (float32), full');
      return rows[1]!.klDivergence;
    };
    expect(await cost('asStored')).to.be.below(1e-9);
    expect(await cost('packed8')).to.be.within(1e-6, 1e-3);
    expect(await cost('packed4')).to.be.within(1e-3, 0.1);
    await rejection(
      evalCommand.run(['--weights', 'int4']),
      UsageError,
      /--weights = "int4"; expected one of float32, asStored, packed8, packed4/,
    );
  });

  it('compares a model with the full cache of the one that it was made of', async () => {
    const {model, against, rows} = await report('--model', small, '--against', 'embedded');
    expect({model, against}).to.deep.equal({model: 'small model', against: 'embedded'});
    const policies = ['embedded, full', 'small model, full', 'small model, quantized:bits=4'];
    expect(rows.map(({plan}) => plan)).to.deep.equal(policies);
    const [dense, full, asked] = rows;
    expect(dense).to.include({klDivergence: 0, top1Agreement: 1});
    for (const row of [full!, asked!]) {
      expect(row.klDivergence).to.be.above(0.0001).and.below(1);
      expect(row.perplexity).not.to.equal(dense!.perplexity);
      // against float32 keys and values of the dense model: 9 depths, 2 heads, 64 + 64 numbers
      expect(row.ratioToFloat32).to.be.closeTo(row.bytesPerToken / (9 * 2 * 128 * 4), 1e-9);
    }
    expect(full!.ratioToFloat32).to.be.within(0.5, 0.61); // spare room included

    // the same numbers as evaluating each model on its own
    await useBackend('wasm');
    const [embedded, compressed] = [await loadModel(), await loadModel(small)];
    try {
      const text = await embeddedText('heldOut');
      const {rows: alone} = await evaluate(compressed, text, {tokens, chunk: 16});
      expect(full!.perplexity).to.be.closeTo(alone[0]!.perplexity, 1e-4);
      const {rows: denseAlone} = await evaluate(embedded, text, {tokens, chunk: 16});
      expect(dense!.perplexity).to.be.closeTo(denseAlone[0]!.perplexity, 1e-4);
    } finally {
      embedded.dispose();
      compressed.dispose();
    }
  });

  it('takes the policies that are named, and shows both models in the table', async () => {
    const text = await printed(() =>
      evalCommand.run([
        ...['--model', small, '--against', 'embedded', '--tokens', '24', '--chunk', '8'],
        ...['--plan', 'sliding:window=16', '--columns', 'plan,change'],
      ]),
    );
    expect(text).to.match(/^small model against embedded on 24 tokens/);
    expect(text).to.match(/embedded, full +-\n/);
    expect(text).to.match(/small model, full +[+-]?[\d.]+ %\n/);
    expect(text).to.match(/small model, sliding:window=16 +[+-]?[\d.]+ %/);
  });

  it('refuses a model of another vocabulary, also of the same size', async () => {
    const other = join(folder, 'other');
    await mkdir(other);
    const embedded = fileURLToPath(new URL('../../../models/embedded', import.meta.url));
    for (const name of ['config.json', 'model.safetensors']) {
      await copyFile(join(embedded, name), join(other, name));
    }
    const tokenizer = JSON.parse(await readFile(join(embedded, 'tokenizer.json'), 'utf8')) as {
      model: {vocab: Record<string, number>};
    };
    const {vocab} = tokenizer.model;
    const [[a, idA], [b, idB]] = Object.entries(vocab).filter(([, id]) => id === 300 || id === 301) as [
      [string, number],
      [string, number],
    ];
    Object.assign(vocab, {[a]: idB, [b]: idA});
    await writeFile(join(other, 'tokenizer.json'), JSON.stringify(tokenizer));
    await rejection(
      evalCommand.run(['--model', other, '--against', 'embedded', '--tokens', '24']),
      InvalidArgumentError,
      /other and embedded have different vocabularies: token 300 is .* and .*--against/,
    );
  });
});
