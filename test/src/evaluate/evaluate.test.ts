import {Console} from 'node:console';
import {Writable} from 'node:stream';
import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import type {Policy} from '../../../cache/contract.js';
import {perDepth, uniform} from '../../../cache/plans/index.js';
import {full} from '../../../cache/policies/full.js';
import {quantized} from '../../../cache/policies/quantized.js';
import {KVCache} from '../../../cache/kv_cache.js';
import {sliding} from '../../../cache/policies/sliding.js';
import {attention, outputHead, positionEmbedding, tokenEmbedding} from '../../../layers/index.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {InvalidArgumentError} from '../../../base/errors.js';
import {evaluate, planLabel, textIds} from '../../../src/evaluate/index.js';
import {rejection} from '../../base/files/rejection.js';
import {expectNoLeak} from '../../support/tensors.js';
import {characterTokenizer, tinyModel} from '../../support/tiny_model.js';
import {widestLine} from '../cli/support/wide.js';

const vocabSize = characterTokenizer.vocabSize;
const text =
  'It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of folly.';
const ids = textIds(characterTokenizer, text);
const coarse = quantized({bits: 2, groupSize: 8, residual: 8});

describe('evaluate', () => {
  let model: tf.LayersModel;
  const loaded = (contextLength = 1024) => ({model, tokenizer: characterTokenizer, contextLength});

  before(async () => {
    await useBackend('wasm');
    model = tinyModel(3);
  });
  after(() => void model.dispose());

  it('gives the full cache first, without divergence, at the size of float32', async () => {
    const {
      rows: [row, ...others],
    } = await evaluate(loaded(), ids);
    expect(others).to.be.empty;
    expect(row).to.include({plan: 'full', klDivergence: 0, top1Agreement: 1});
    // two depths, two heads, keys and values of 8 numbers, 4 bytes each
    expect(row!.bytesPerToken).to.equal(2 * 2 * (8 + 8) * 4);
    expect(row!.ratioToFloat32).to.equal(1);
    expect(row!.ratioToFloat16).to.equal(2);
  });

  it('takes policies by name, and refuses what is no list of plans and policies', async () => {
    const {rows} = await evaluate(loaded(), ids, {plans: [{name: 'quantized'}], tokens: 40});
    expect(rows.map(({plan}) => plan)).to.deep.equal(['full', 'quantized']);
    const refused = ['quantized', 5, null, full(), [5], [null], ['quantised'], [{name: 'full', bits: 4}]];
    const message = /expected|next to its name|no policy/;
    for (const given of refused) {
      const plans = given as unknown as Policy[];
      await rejection(evaluate(loaded(), ids, {plans}), InvalidArgumentError, message);
      const compared = [{name: 'other', model, plans}];
      await rejection(evaluate(loaded(), ids, {compared}), InvalidArgumentError, message);
    }
  });

  it('is a short table for console.table, with all numbers in rows and in JSON', async () => {
    const evaluation = await evaluate(loaded(), text, {plans: [coarse], chunk: 32, tokens: 60});
    const label = 'quantized:bits=2,groupSize=8,residual=8';
    expect(evaluation.map(({plan}) => plan)).to.deep.equal(['full', label]);
    const [, row] = evaluation.rows;
    expect({...evaluation[1]}).to.deep.equal({
      plan: label,
      perplexity: Number(row!.perplexity.toPrecision(4)),
      'KL (nats)': Number(row!.klDivergence.toPrecision(4)),
      'of float32': Number(row!.ratioToFloat32.toPrecision(4)),
    });
    expect([evaluation.tokens, evaluation.chunk]).to.deep.equal([60, 32]);
    const {rows} = evaluation;
    expect(JSON.parse(JSON.stringify(evaluation))).to.deep.equal({tokens: 60, chunk: 32, rows});
    expect(Object.keys(evaluation), 'lines of console.table').to.deep.equal(['0', '1']);
    const longer = await evaluate(loaded(), text, {plans: [{name: 'h2o', options: {heavyBudget: 512}}]});
    let printed = '';
    const stdout = new Writable({
      write: (piece: Buffer, _, done) => {
        printed += piece.toString();
        done();
      },
    });
    new Console(stdout).table(longer);
    expect(printed).to.match(/│ plan +│ perplexity +│ KL \(nats\) +│ of float32 +│/);
    expect(widestLine(printed)).to.be.within(60, 80);
  });

  it('takes a text, ids or several of them, and a model alone with ids', async () => {
    const {rows} = await evaluate(model, ids);
    expect((await evaluate(loaded(), text)).rows[0]!.perplexity).to.equal(rows[0]!.perplexity);
    const parts = [ids.slice(0, 30), ids.slice(30)];
    const both = await evaluate(loaded(), parts);
    expect(both.tokens).to.equal(ids.length);
    const apart = await Promise.all(parts.map(part => evaluate(loaded(), part)));
    const nlls = apart.map(({rows: [row]}, i) => Math.log(row!.perplexity) * (parts[i]!.length - 1));
    const mean = (nlls[0]! + nlls[1]!) / (ids.length - 2);
    expect(both.rows[0]!.perplexity).to.be.closeTo(Math.exp(mean), 1e-3);
    expect(both.rows[0]!.bytesPerToken, 'of the longer one').to.equal(256);
    await rejection(evaluate(model, text), InvalidArgumentError, /without a tokenizer/);
    await rejection(evaluate(loaded(), []), InvalidArgumentError, /no texts/);
  });

  it('takes a chunk as long as the context of the model', async () => {
    const input = tf.input({shape: [null], dtype: 'int32'});
    const layers = [
      tokenEmbedding({vocabSize, dim: 8}),
      positionEmbedding({maxPositions: 16}),
      attention({numHeads: 2, depth: 0}),
      outputHead({vocabSize}),
    ];
    const output = layers.reduce((x, layer) => layer.apply(x) as tf.SymbolicTensor, input);
    const short = tf.model({inputs: input, outputs: output});
    const options = {plans: [sliding({window: 4})], chunk: 16, tokens: 32};
    const {rows} = await evaluate({model: short, contextLength: 16}, ids, options);
    expect(rows.map(({plan}) => plan)).to.deep.equal(['full', 'sliding:window=4']);
    for (const {perplexity} of rows) expect(perplexity).to.be.within(0.5 * vocabSize, 2 * vocabSize); // untrained
    short.dispose();
  });

  it('agrees with the definitions, computed apart from it', async () => {
    const {
      rows: [exact, row],
    } = await evaluate(loaded(), ids, {plans: [coarse], chunk: 16});
    const {probabilities: p} = await byHand(full(), ids, 16);
    const {probabilities: q} = await byHand(coarse, ids, 16);
    const nlls = (of: Float64Array[]) => ids.slice(1).map((id, i) => -Math.log(of[i]![id]!));
    const close = (actual: number, expected: number) =>
      expect(Math.abs(actual / expected - 1), `${actual}, by hand ${expected}`).to.be.below(1e-5);

    for (const [actual, by] of [
      [exact!, p],
      [row!, q],
    ] as const) {
      const mean = average(nlls(by));
      close(actual.perplexity, Math.exp(mean));
      const variance =
        average(nlls(by).map(nll => (nll - mean) ** 2)) * (nlls(by).length / (nlls(by).length - 1));
      close(actual.perplexityStderr, Math.exp(mean) * Math.sqrt(variance / nlls(by).length));
    }
    const divergences = p
      .slice(0, -1)
      .map((pi, i) => pi.reduce((sum, x, id) => sum + x * Math.log(x / q[i]![id]!), 0));
    close(row!.klDivergence, average(divergences));
    const best = (of: Float64Array) => of.indexOf(Math.max(...of));
    const same = p.slice(0, -1).filter((pi, i) => best(pi) === best(q[i]!)).length;
    expect(row!.top1Agreement).to.equal(same / (ids.length - 1));
    expect(row!.top1Agreement).to.be.below(1); // else nothing was tested here
  });

  it('counts the true bytes of what a policy stores', async () => {
    const {
      rows: [, row],
    } = await evaluate(loaded(), ids, {plans: [coarse]});
    const {byteSize} = await byHand(coarse, ids, 64);
    expect(row!.bytesPerToken).to.equal(byteSize / ids.length);
    expect(row!.ratioToFloat32).to.be.closeTo(row!.bytesPerToken / 256, 1e-9);
    expect(row!.ratioToFloat16).to.be.closeTo(row!.bytesPerToken / 128, 1e-9);
  });

  it('says how fast it was and how much it needed at once', async () => {
    const {rows} = await evaluate(loaded(), ids, {plans: [coarse], chunk: 32});
    for (const row of rows) {
      expect(row.prefillTokensPerSecond).to.be.above(0).and.below(1e7);
      expect(row.decodeTokensPerSecond).to.be.above(0).and.below(1e6);
      // at least the cache and the logits of a step; the weights are not among it
      expect(row.peakBytes).to.be.above(row.bytesPerToken * ids.length + 32 * vocabSize * 4);
      expect(row.peakBytes).to.be.below(2_000_000);
    }
  });

  it('cuts a text that is longer than the context into windows with fresh caches', async () => {
    const {
      rows: [row],
    } = await evaluate(loaded(40), ids);
    const windows = [ids.slice(0, 40), ids.slice(40, 80), ids.slice(80)];
    const nlls: number[] = [];
    for (const window of windows) {
      const {probabilities: p} = await byHand(full(), window, 64);
      nlls.push(...window.slice(1).map((id, i) => -Math.log(p[i]![id]!)));
    }
    expect(row!.perplexity).to.be.closeTo(Math.exp(average(nlls)), 1e-4);
  });

  it('leaves out a last window of one token, and takes only the tokens asked for', async () => {
    const {
      rows: [whole],
    } = await evaluate(loaded(40), ids, {tokens: 41});
    const {
      rows: [part],
    } = await evaluate(loaded(40), ids.slice(0, 40));
    expect(whole!.perplexity).to.equal(part!.perplexity);
  });

  it('reports its progress up to the end', async () => {
    const seen: number[] = [];
    await evaluate(loaded(40), ids, {
      plans: [coarse],
      chunk: 8,
      onProgress: ({done, total}) => {
        expect(total).to.equal(2 * ids.length);
        seen.push(done);
      },
    });
    expect(seen).to.deep.equal(seen.toSorted((a, b) => a - b));
    expect(seen.at(-1)).to.equal(2 * ids.length);
  });

  it('names what it cannot evaluate', async () => {
    const run = (of: readonly number[], options = {}) => evaluate(loaded(), of, options);
    await rejection(run([1, 2]), InvalidArgumentError, /2 tokens/);
    await rejection(run(ids, {chunk: 0}), InvalidArgumentError, /chunk/);
    await rejection(run(ids, {plan: coarse}), InvalidArgumentError, /Did you mean "plans"/);
    await rejection(run(ids, {onProgress: 3}), InvalidArgumentError, /onProgress = 3; expected a function/);
    await rejection(run(ids, {signal: 'now'}), InvalidArgumentError, /expected an AbortSignal/);
  });

  it('leaves no tensors behind, to the end or aborted', async () => {
    await expectNoLeak(async () => {
      await evaluate(loaded(), ids, {plans: [coarse]});
    });
    await expectNoLeak(async () => {
      const abort = new AbortController();
      const onProgress = () => abort.abort();
      await rejection(
        evaluate(loaded(), ids, {plans: [coarse], onProgress, signal: abort.signal}),
        DOMException,
      );
    });
  });

  /** Float64 softmax of the logits of every position; ids in chunks of `chunk`, the last 20 one by one. */
  async function byHand(policy: Policy, window: readonly number[], chunk: number) {
    const cache = new KVCache(model, policy, {expectedTokens: window.length});
    const rows: Float64Array[] = [];
    const singles = Math.min(20, Math.floor(window.length / 2));
    for (let start = 0; start < window.length;) {
      const bulk = window.length - singles - start;
      const end = start + (bulk > 0 ? Math.min(chunk, bulk) : 1);
      const input = tf.tensor2d(window.slice(start, end), [1, end - start], 'int32');
      const logits = model.apply(input, {cache}) as tf.Tensor;
      const values = await logits.data();
      for (let row = 0; row < end - start; row++) {
        const exps = Float64Array.from(values.slice(row * vocabSize, (row + 1) * vocabSize), Math.exp);
        const sum = exps.reduce((a, b) => a + b, 0);
        rows.push(exps.map(x => x / sum));
      }
      tf.dispose([input, logits]);
      start = end;
    }
    const {byteSize} = cache;
    cache.dispose();
    return {probabilities: rows, byteSize};
  }
});

describe('plan labels', () => {
  it('are written as on the command line, without defaults', () => {
    expect(planLabel(full())).to.equal('full');
    expect(planLabel(quantized())).to.equal('quantized');
    expect(planLabel(quantized({bits: 4, residual: 8}))).to.equal('quantized:bits=4,residual=8');
    expect(planLabel(uniform(quantized({bits: 4})))).to.equal('quantized:bits=4');
  });

  it('show the parts of a plan', () => {
    const plan = perDepth([full(), quantized({bits: 2})]);
    expect(planLabel(plan)).to.equal('perDepth(policies=[full, quantized:bits=2])');
  });
});

const average = (numbers: readonly number[]) => numbers.reduce((a, b) => a + b, 0) / numbers.length;
