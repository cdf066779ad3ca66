import {expect} from 'chai';
import * as policies from '../../cache/policies/index.js';
import {KVCache, type LoadedModel, asPlan, embeddedText, loadModel, useBackend} from '../../src/index.js';
import {failureOf} from '../../web/engine/failure.js';
import {generatePair} from '../../web/engine/generate_pair.js';
import {headsHolding} from '../../web/engine/held_tokens.js';
import {measure} from '../../web/engine/measure.js';
import {planSize} from '../../web/engine/plan_size.js';
import type {Generation} from '../../web/engine/protocol.js';
import {offeredNames, policyChoices} from '../../web/state/policy_choices.js';
import {depthThatLostMost, shareHeld} from '../../web/view/held_share.js';
import {expectNoLeak} from '../support/tensors.js';

const prompt =
  'In the beginning God created the heaven and the earth. And the earth was without form, and void.';

describe('the engine of the playground', () => {
  let loaded: LoadedModel;
  const never = new AbortController().signal;

  before(async () => {
    await useBackend('wasm');
    loaded = await loadModel();
  });
  after(() => loaded.dispose());

  const write = async (policy: string, options: {tokens?: number; signal?: AbortSignal} = {}) => {
    const {tokens = 12, signal = never} = options;
    const shown: Generation[] = [];
    const request = {bands: [{depths: 9, policy}], prompt, tokens, temperature: 0.8, seed: 3};
    await generatePair(loaded, request, generation => shown.push(generation), signal);
    return shown.at(-1)!;
  };

  it('offers every policy, each choice as the command line reads it', () => {
    for (const {policy} of policyChoices) expect(() => asPlan(policy), policy).not.to.throw();
    expect([...offeredNames].sort()).to.deep.equal(Object.keys(policies).sort()); // the registry may have some of other tests
  });

  it('writes the same twice where the plan keeps everything, and leaks nothing', async () => {
    await expectNoLeak(async () => {
      const {full, plan, partsAt, prompt: pieces, depths} = await write('full');
      expect(plan.written).to.deep.equal(full.written);
      expect(plan.bytes).to.deep.equal(full.bytes);
      expect(full.written).to.have.length(12);
      expect(partsAt).to.equal(undefined);
      expect(pieces.join('')).to.equal(`<s>${prompt}`);
      expect(depths.map(({float32Bytes}) => float32Bytes)).to.deep.equal(
        Array(9).fill((pieces.length + 12) * 2 * 64 * 2 * 4),
      );
    });
  });

  it('says where the two part: before it they are equal', async () => {
    const {full, plan, partsAt} = await write('sliding:window=4,sinks=0', {tokens: 16});
    expect(partsAt).to.be.a('number');
    expect(plan.written.slice(0, partsAt)).to.deep.equal(full.written.slice(0, partsAt));
    expect(plan.written).not.to.deep.equal(full.written);
    expect(plan.bytes.at(-1)).to.be.below(full.bytes.at(-1)!);
  });

  it('knows which tokens each depth still holds', async () => {
    const generation = await write('sliding:window=8,sinks=2');
    const tokens = generation.headsHolding.length / 9;
    const share = shareHeld(generation, 2);
    const oneDepth = shareHeld(generation, 2, 4);
    expect(share).to.deep.equal(oneDepth); // a window is the same for all
    const held = share.flatMap((each, token) => (each === 1 ? [token] : []));
    expect(held.slice(0, 2)).to.deep.equal([0, 1]);
    expect(held.at(-1)).to.equal(tokens - 1);
    expect(share.filter(each => each === 0)).to.have.length(tokens - held.length);
    expect(held.length).to.be.at.most(10);
  });

  it('counts heads as the cache counts tokens, where each head evicts its own', async () => {
    const generation = await write('h2o:heavyBudget=6,recentBudget=6');
    const tokens = generation.headsHolding.length / 9;
    const row = generation.headsHolding.subarray(4 * tokens, 5 * tokens);
    expect(row.reduce((sum, heads) => sum + heads, 0)).to.be.within(2 * 7, 2 * 12);
    expect(Math.max(...row)).to.equal(2);
    expect(depthThatLostMost(generation)).to.be.within(0, 8);
    expect(depthThatLostMost(await write('full'))).to.equal(undefined);
    const cache = new KVCache(loaded.model, asPlan('full'));
    expect(await headsHolding(cache, 9, 0)).to.have.length(0);
    cache.dispose();
  });

  it('stops between two tokens', async () => {
    const stop = new AbortController();
    const request = {bands: [{depths: 9, policy: 'full'}], prompt, tokens: 500, temperature: 0, seed: 1};
    let shown = 0;
    const show = () => {
      shown++;
      stop.abort();
    };
    const error: unknown = await generatePair(loaded, request, show, stop.signal).catch(
      (reason: unknown) => reason,
    );
    expect(error).to.equal(stop.signal.reason);
    expect(shown).to.equal(1);
  });

  it('foretells sizes, and says which band is refused', () => {
    const bands = [
      {depths: 4, policy: 'full'},
      {depths: 5, policy: 'quantized:bits=4,groupSize=32'},
    ];
    const sized = planSize(loaded, bands, prompt, 200);
    if (sized.kind !== 'sized') throw new Error(sized.kind);
    const {bytes, float32Bytes, tokens} = sized.size;
    expect(tokens).to.equal(loaded.tokenizer.encode(prompt).length + 200);
    expect(bytes).to.have.length(9);
    expect(bytes[0]).to.be.at.least(float32Bytes);
    expect(bytes[8]).to.be.below(0.5 * float32Bytes);
    const refused = planSize(loaded, [bands[0]!, {depths: 5, policy: 'quantized:bits=7'}], prompt, 200);
    expect(refused).to.deep.include({kind: 'refused', band: 1});
  });

  it('measures a text with both caches', async () => {
    const progress: number[] = [];
    const onProgress = (done: number, total: number) => progress.push(done / total);
    const bands = [
      {depths: 4, policy: 'quantized:bits=4,groupSize=16,residual=8'},
      {depths: 5, policy: 'transform:bits=2'},
    ];
    const {full, plan, tokens, textTokens, ranks, outputErrors, predictedKls, drift, answers} = await measure(
      loaded,
      bands,
      prompt.repeat(2),
      {prose: await embeddedText('heldOut'), onProgress, signal: never},
    );
    expect(tokens).to.equal(textTokens);
    expect(full.klDivergence).to.equal(0);
    expect(plan.klDivergence).to.be.above(0);
    expect(plan.ratioToFloat32).to.be.below(full.ratioToFloat32);
    expect(ranks).to.have.length(9 * 2 * 2);
    expect(answers!.full).to.include({task: 'copy', plan: 'full', questions: 8});
    expect(answers!.plan.logProbabilityChange).to.not.equal(0);
    expect(outputErrors).to.have.length(9);
    expect(predictedKls.map(kl => kl !== undefined && kl > 0)).to.deep.equal([
      ...[false, false, false, false],
      ...[true, true, true, true, true],
    ]);
    expect(drift!.text).to.match(/calibrated statistics/);
    expect(progress).to.deep.equal(progress.toSorted((a, b) => a - b));
    expect(progress.at(-1)).to.equal(1);
  });

  it('tells when memory is used up', () => {
    for (const error of [
      new RangeError('Array buffer allocation failed'),
      new RangeError('Invalid typed array length: 8000000000'),
      new WebAssembly.RuntimeError('Aborted(). Build with -sASSERTIONS for more info.'),
      new WebAssembly.RuntimeError('memory access out of bounds'),
    ]) {
      expect(failureOf(error)).to.include({name: 'Out of memory', outOfMemory: true});
      expect(failureOf(error).message).to.contain('Close other tabs');
    }
    expect(failureOf(new RangeError('toFixed() digits argument'))).to.include({outOfMemory: false});
    expect(failureOf('odd')).to.deep.equal({name: 'Error', message: 'odd', outOfMemory: false});
  });
});
