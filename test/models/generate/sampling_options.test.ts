import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import {generate} from '../../../models/generate/generate.js';
import {withLogprobs} from '../../../models/generate/logprobs.js';
import type {
  GenerateIdsOptions,
  GeneratedToken,
  LogitProcessor,
  SamplingOptions,
} from '../../../models/generate/options.js';
import {processedLogits} from '../../../models/generate/processed_logits.js';
import {sampleToken} from '../../../models/generate/sampling.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {InvalidArgumentError} from '../../../base/errors.js';
import {readGolden} from '../../support/golden.js';
import {expectNoLeak} from '../../support/tensors.js';
import {characterTokenizer as tokenizer, tinyModel} from '../../support/tiny_model.js';
import {rejection} from '../../base/files/rejection.js';

interface TransformersGolden {
  readonly prompt: readonly number[];
  readonly generated: readonly number[];
  readonly logits: readonly number[];
  readonly logprobs: readonly number[];
  readonly cases: readonly {
    readonly options: SamplingOptions;
    readonly logits: readonly number[];
    readonly probabilities: readonly number[];
  }[];
}

const golden = readGolden('models/sampling_transformers.json') as TransformersGolden;
const logits = Float32Array.from(golden.logits);
const ids = [...golden.prompt, ...golden.generated];
const start = golden.prompt.length;

describe('sampling, as transformers does it,', () => {
  for (const {options, logits: expected, probabilities} of golden.cases) {
    it(`with ${JSON.stringify(options)}`, async () => {
      const changed = await processedLogits(logits, ids, start, {...options, processors: []});
      expected.forEach((logit, id) =>
        expect(changed[id]).to.be.closeTo(logit, 1e-5 * Math.abs(logit) + 1e-6),
      );
      const isRanked = options.topK !== undefined || options.topP !== undefined;
      const order = [...probabilities.keys()].filter(id => probabilities[id]! > 1e-12); // below that, sums round it away
      if (isRanked) order.sort((a, b) => changed[b]! - changed[a]! || a - b);
      let from = 0;
      for (const id of order) {
        for (const inside of [0.01, 0.5, 0.99]) {
          const uniform = from + probabilities[id]! * inside;
          expect(sampleToken(changed, {temperature: 1, ...options}, () => uniform)).to.equal(id);
        }
        from += probabilities[id]!;
      }
    });
  }

  it('leaves the logits of the model as they are', () => {
    expect([...logits]).to.deep.equal(golden.logits);
  });
});

describe('logprobs', () => {
  it('are those of the softmax, of the most probable tokens first', () => {
    const {id, logprob, top} = withLogprobs(5, logits, 4);
    expect(id).to.equal(5);
    expect(logprob).to.be.closeTo(golden.logprobs[5]!, 1e-9);
    const best = [...golden.logprobs.keys()]
      .sort((a, b) => golden.logprobs[b]! - golden.logprobs[a]! || a - b)
      .slice(0, 4);
    expect(top.map(one => one.id)).to.deep.equal(best);
    for (const one of top) expect(one.logprob).to.be.closeTo(golden.logprobs[one.id]!, 1e-9);
    expect(withLogprobs(5, logits, 0).top).to.deep.equal([]);
  });
});

describe('generate with sampling options', () => {
  let model: tf.LayersModel;
  const prompt = tokenizer.encode('Hello');

  before(async () => {
    await useBackend('wasm');
    model = tinyModel();
  });
  after(() => void model.dispose());

  const idsWith = async (options: GenerateIdsOptions) => {
    const generated: number[] = [];
    for await (const id of generate(model, prompt, {tokens: 8, ...options})) generated.push(id);
    return generated;
  };

  it('gives processors what came before and what was generated', async () => {
    const seen: [ids: number[], start: number][] = [];
    const processor: LogitProcessor = (all, known, from) => {
      seen.push([[...known], from]);
      all.fill(-Infinity);
      all[20 + known.length - from] = 0;
    };
    expect(await idsWith({processors: [processor], tokens: 3})).to.deep.equal([20, 21, 22]);
    const {length} = prompt;
    expect(seen).to.deep.equal([
      [prompt, length],
      [[...prompt, 20], length],
      [[...prompt, 20, 21], length],
    ]);
  });

  it('waits for a processor, and runs processors in their order', async () => {
    const only =
      (id: number): LogitProcessor =>
      async all => {
        await Promise.resolve();
        all.fill(-Infinity);
        all[id] = 0;
      };
    expect(await idsWith({processors: [only(30), only(31)], tokens: 2})).to.deep.equal([31, 31]);
  });

  it('takes biases of a Map and of an object, and forbids tokens', async () => {
    const [first] = await idsWith({tokens: 1});
    const map = await idsWith({logitBias: new Map([[first!, -Infinity]])});
    expect(map).not.to.include(first);
    expect(await idsWith({logitBias: {[first!]: -Infinity}})).to.deep.equal(map);
    expect(await idsWith({logitBias: {40: 1000}})).to.deep.equal(Array.from({length: 8}, () => 40));
  });

  it('penalises what was generated, and with repetitionPenalty the prompt too', async () => {
    expect(new Set(await idsWith({presencePenalty: 1000, tokens: 30})).size).to.equal(30);
    expect(new Set(await idsWith({frequencyPenalty: 1000, tokens: 30})).size).to.equal(30);
    const never = await idsWith({repetitionPenalty: 1e6, logitBias: {[prompt[1]!]: 50}, tokens: 4});
    expect(never[0]).not.to.equal(prompt[1]); // 50 / 1e6 is next to nothing
    expect((await idsWith({logitBias: {[prompt[1]!]: 50}, tokens: 1}))[0]).to.equal(prompt[1]);
  });

  it('tells the probabilities of what it gives, whatever the temperature', async () => {
    const tokens: GeneratedToken[] = [];
    const options = {
      temperature: 2,
      seed: 3,
      logprobs: 2,
      onToken: (token: GeneratedToken) => void tokens.push(token),
    };
    const generated = await idsWith(options);
    expect(tokens.map(({id}) => id)).to.deep.equal(generated);
    for (const {logprob, top} of tokens) {
      expect(logprob).to.be.below(0);
      expect(top).to.have.length(2);
      expect(top[0]!.logprob).to.be.at.least(top[1]!.logprob);
      expect(logprob).to.be.at.most(top[0]!.logprob);
    }
    expect(await idsWith({temperature: 2, seed: 3})).to.deep.equal(generated);
  });

  it('refuses what is none, and leaves nothing behind', async () => {
    const wrong: [GenerateIdsOptions, RegExp][] = [
      [{minP: 2}, /minP = 2; expected a number from 0 to 1/],
      [{typicalP: 0}, /typicalP = 0; expected a number above 0/],
      [{repetitionPenalty: 0}, /repetitionPenalty = 0; expected a number above 0/],
      [{presencePenalty: Infinity}, /presencePenalty = Infinity; expected a number/],
      [{logitBias: {a: 1} as unknown as SamplingOptions['logitBias']}, /logitBias = .*ids to numbers/],
      [{logitBias: {5: NaN}}, /logitBias = .*ids to numbers/],
      [{logitBias: {97: 1}}, /logitBias names the token 97; this model has the ids 0 to 96/],
      [{logitBias: {'-1': 1}}, /logitBias names the token -1/],
      [{logprobs: -1}, /logprobs = -1; expected a whole number >= 0/],
      [{logprobs: 3}, /logprobs = 3 without onToken, which gets them/],
      [{processors: [1] as unknown as LogitProcessor[]}, /processors.0 = 1; expected a function/],
      [{processors: [all => void all.fill(-Infinity)]}, /forbid every token/],
      [{processors: [all => void all.fill(NaN)]}, /processor made a logit NaN/],
      [{logitBias: {5: 1e308}}, /logitBias .*made a logit NaN or Infinity/],
      [{repetitionPenalty: 1e-300}, /penalties make Infinity of the logit .* of token/],
      [{presencePenalty: -1e308}, /penalties make Infinity of the logit/],
      [
        {processors: [((all: Float32Array) => all.map(x => x)) as unknown as LogitProcessor]},
        /returned a value.*in place/,
      ],
    ];
    await expectNoLeak(async () => {
      for (const [options, message] of wrong) {
        await rejection(idsWith(options), InvalidArgumentError, message);
      }
    });
  });
});
