import type {Policy} from '../../../cache/contract.js';
import * as tf from '@tensorflow/tfjs';
import {expect} from 'chai';
import fc from 'fast-check';
import {KVCache} from '../../../cache/kv_cache.js';
import {full, quantized} from '../../../cache/policies/index.js';
import {generate} from '../../../models/generate/generate.js';
import type {GenerateOptions} from '../../../models/generate/options.js';
import {seededRandom} from '../../../base/random.js';
import {largest, sampleToken} from '../../../models/generate/sampling.js';
import {stopFilter} from '../../../models/generate/stop_strings.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {ContextLengthError, InvalidArgumentError, ModelError} from '../../../base/errors.js';
import {readGolden} from '../../support/golden.js';
import {expectNoLeak} from '../../support/tensors.js';
import {characterTokenizer as tokenizer, tinyModel} from '../../support/tiny_model.js';
import {rejection} from '../../base/files/rejection.js';

interface SamplingGolden {
  words: Record<string, number[]>;
  logits: number[];
  cases: {
    temperature: number;
    topK: number | null;
    topP: number | null;
    ids: number[];
    probabilities: number[];
  }[];
}

const golden = readGolden('models/sampling.json') as SamplingGolden;

describe('seeded random numbers', () => {
  for (const [seed, words] of Object.entries(golden.words)) {
    it(`of seed ${seed} are those of xoshiro128**`, () => {
      const random = seededRandom(Number(seed));
      expect(words.map(() => random() * 2 ** 32)).to.deep.equal(words);
    });
  }

  it('differ from run to run without a seed', () => {
    expect(seededRandom()()).not.to.equal(seededRandom()());
  });
});

describe('sampling', () => {
  const logits = Float32Array.from(golden.logits);

  for (const {temperature, topK, topP, ids, probabilities} of golden.cases) {
    const sampling = {temperature, topK: topK ?? undefined, topP: topP ?? undefined};
    const name = JSON.stringify(sampling);

    it(`with ${name} gives each token its share of [0, 1)`, () => {
      // the shares lie side by side, in this order where the tokens were ranked, else by id
      const order = topK === null && topP === null ? [...ids].sort((a, b) => a - b) : ids;
      let start = 0;
      for (const id of order) {
        const share = probabilities[ids.indexOf(id)]!;
        for (const inside of [0.001, 0.5, 0.999]) {
          expect(sampleToken(logits, sampling, () => start + share * inside)).to.equal(id);
        }
        start += share;
      }
      expect(start).to.be.closeTo(1, 1e-9);
    });
  }

  it('with temperature 0 takes the first of the largest', () => {
    expect(sampleToken(Float32Array.of(1, 3, 3, 2), {temperature: 0}, () => 0.99)).to.equal(1);
  });

  it('never draws what has no probability', () => {
    const masked = Float32Array.of(-Infinity, 0, -Infinity);
    for (const uniform of [0, 0.5, 1 - 2 ** -32]) {
      expect(sampleToken(masked, {temperature: 1}, () => uniform)).to.equal(1);
      expect(sampleToken(masked, {temperature: 1, topK: 3, topP: 0.9}, () => uniform)).to.equal(1);
    }
  });

  it('refuses logits that are no numbers', () => {
    for (const bad of [
      [NaN, 1],
      [1, NaN],
      [Infinity, 1],
      [-Infinity, -Infinity],
    ]) {
      expect(() => sampleToken(Float32Array.from(bad), {temperature: 1}, Math.random)).to.throw(ModelError);
    }
  });

  it('finds the largest in a part of many', () => {
    expect(largest(Float32Array.of(9, 1, 5, 7, 8), 1, 4)).to.equal(2);
  });
});

describe('stop strings', () => {
  it('let through the text before the one that ends first, however it is cut', () => {
    const letters = fc.string({unit: fc.constantFrom('a', 'b', 'c'), maxLength: 30});
    const stop = fc.string({unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 4});
    fc.assert(
      fc.property(fc.array(letters, {maxLength: 8}), fc.array(stop, {maxLength: 3}), (pieces, stops) => {
        const text = pieces.join('');
        const ends = Array.from(text, (_, i) => text.slice(0, i + 1));
        const end = ends.find(head => stops.some(s => head.endsWith(s)));
        const longest = Math.max(...stops.filter(s => end?.endsWith(s)).map(s => s.length));
        const expected = end === undefined ? text : end.slice(0, end.length - longest);

        const filter = stopFilter(stops);
        let out = '';
        for (const piece of pieces) {
          out += filter.push(piece);
          expect(expected.startsWith(out), `"${out}" leaks`).to.be.true;
        }
        expect(out + filter.flush()).to.equal(expected);
        expect(filter.stopped).to.equal(end !== undefined);
      }),
    );
  });

  it('hold back no more than may become one', () => {
    const filter = stopFilter(['END', '\n\n']);
    expect(filter.push('The EN')).to.equal('The ');
    expect(filter.push('X\n')).to.equal('ENX');
    expect(filter.flush()).to.equal('\n');
  });
});

describe('generate', () => {
  let model: tf.LayersModel;

  before(async () => {
    await useBackend('wasm');
    model = tinyModel();
  });
  after(() => void model.dispose());

  it('gives, greedily, what the whole text computed anew gives', async () => {
    const prompt = tokenizer.encode('Hello');
    const ids = await collect(generate(model, prompt, {tokens: 12}));
    expect(ids).to.deep.equal(await greedyWithoutCache(model, prompt, 12));
  });

  it('does not depend on how the prompt is cut', async () => {
    const prompt = tokenizer.encode('a prompt of some length');
    const whole = await collect(generate(model, prompt, {tokens: 8}));
    for (const chunk of [1, 2, 5, 8, prompt.length]) {
      expect(await collect(generate(model, prompt, {tokens: 8, chunk}))).to.deep.equal(whole);
    }
  });

  it('gives the same text for the same seed, another one for another', async () => {
    const text = (seed: number) => all(model, 'Seed', {tokens: 30, temperature: 1, seed});
    expect(await text(1)).to.equal(await text(1));
    expect(await text(1)).not.to.equal(await text(2));
  });

  it('continues what a cache holds', async () => {
    const once = await all(model, 'one two', {tokens: 20});
    const cache = new KVCache(model);
    const first = await all(model, 'one two', {tokens: 9, cache});
    expect(cache.tokens).to.equal(tokenizer.encode('one two').length + 9);
    // the next words of a user: those that the model would have said
    const second = await all(model, once[9]!, {tokens: 10, cache});
    expect(first + once[9]! + second).to.equal(once);
    cache.dispose();
  });

  it('leaves all that it gave out in the cache when the caller breaks off', async () => {
    const cache = new KVCache(model);
    const given: number[] = [];
    for await (const id of generate(model, [5, 6, 7], {cache})) {
      if (given.push(id) === 5) break;
    }
    expect(cache.tokens).to.equal(3 + 5);
    const next = await collect(generate(model, [8], {cache, tokens: 1}));
    expect(next).to.deep.equal(await greedyWithoutCache(model, [5, 6, 7, ...given, 8], 1));
    cache.dispose();
  });

  it('ends before a stop string and never shows a part of one', async () => {
    const whole = await all(model, 'Hello', {tokens: 30});
    const stop = whole.slice(10, 13);
    const pieces: string[] = [];
    for await (const piece of generate({model, tokenizer}, 'Hello', {tokens: 30, stop: [stop]}))
      pieces.push(piece);
    expect(pieces.join('')).to.equal(whole.slice(0, whole.indexOf(stop)));
  });

  it('ends at a token that ends texts, without showing it', async () => {
    const ids = await collect(generate(model, tokenizer.encode('Hello'), {tokens: 10}));
    const eosIds = [ids[4]!];
    const ended = await collect(generate(model, tokenizer.encode('Hello'), {tokens: 10, eosIds}));
    expect(ended).to.deep.equal(ids.slice(0, ids.indexOf(ids[4]!)));
  });

  it('takes the first token for an empty prompt', async () => {
    const {vocabSize, eosIds, decode, token} = tokenizer;
    const encode = (text: string) => tokenizer.encode(text, {addSpecial: false});
    const fromNothing = await all(model, '', {tokens: 5}, {...tokenizer, encode});
    expect(fromNothing).to.equal(await all(model, '', {tokens: 5}));
    await rejection(
      all(model, '', {}, {vocabSize, eosIds, decode, token, encode}),
      InvalidArgumentError,
      /empty/,
    );
  });

  it('refuses, before anything is computed, what the context cannot hold', async () => {
    const cache = new KVCache(model);
    const short = {model, tokenizer, contextLength: 10};
    const texts = async (prompt: string, tokens?: number) =>
      (await collect(generate(short, prompt, {cache, tokens}))).join('');
    await rejection(texts('1234567890'), ContextLengthError, /10/);
    await rejection(texts('12345', 5), ContextLengthError, /5 are to follow.*10/);
    expect(cache.tokens).to.equal(0);
    expect(await texts('12345')).to.have.length(4);
    expect(cache.tokens).to.equal(10);
    cache.dispose();
  });

  it('refuses options that it does not know or that are not allowed, for a text and for ids', async () => {
    const wrong: readonly (readonly [options: unknown, message: RegExp])[] = [
      [{temperature: -1}, /temperature = -1; expected a number >= 0/],
      [{temperature: 'hot'}, /temperature = "hot"; expected a number >= 0/],
      [{topP: 0}, /topP/],
      [{topK: 0}, /topK/],
      [{tokens: 0}, /tokens/],
      [{seed: 'x'}, /seed = "x"; expected a whole number/],
      [{cache: 'h2o'}, /cache = "h2o"; expected a KVCache/],
      [{cache: {}}, /cache = \{\}; expected a KVCache/],
      [{prefixes: 5}, /prefixes = 5; expected a PrefixCache/],
      [{eosIds: 5}, /eosIds is 5; expected a list of ids/],
      [{eosIds: ['</s>']}, /eosIds = \["<\/s>"\]; expected a list of ids/],
      [{signal: {}}, /signal = \{\}; expected an AbortSignal/],
      [{onProgress: 5}, /onProgress = 5; expected a function/],
      [{maxTokens: 5}, /generate has no option "maxTokens"/],
      [null, /generate: null was given; expected an object/],
      [5, /generate: 5 was given; expected an object/],
      [[], /generate: \[\] was given; expected an object/],
    ];
    const stops = [{stop: 5}, {stop: 'END'}, {stop: [5]}, {stop: ['']}];
    const refused = async (prompt: string | number[], options: unknown, message: RegExp) => {
      const run = collect(generate({model, tokenizer}, prompt as string, options as GenerateOptions));
      await rejection(run, InvalidArgumentError, message);
    };
    for (const [options, message] of wrong) {
      await refused('x', options, message);
      await refused([5], options, message);
    }
    for (const options of stops) {
      await refused('x', options, /stop.* = .*; expected a list of texts, none of them empty/);
    }
  });

  it('renders messages by the chat template, and does not add a first token to them', async () => {
    const chatTemplate =
      '<s>{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}A:{% endif %}';
    const encode = (text: string, options?: {addSpecial?: boolean}) => [
      ...(options?.addSpecial === false ? [] : [0]),
      ...(text.startsWith('<s>') ? [0] : []),
      ...tokenizer.encode(text.replace('<s>', '').replaceAll('\n', ' '), {addSpecial: false}),
    ];
    const chat = {model, tokenizer: {...tokenizer, encode}, chatTemplate};
    const messages = [
      {role: 'user', content: 'Hi'},
      {role: 'assistant', content: 'Ho'},
    ];
    const answer = (await collect(generate(chat, messages, {tokens: 12}))).join('');
    expect(answer).to.equal(await all(model, 'user: Hi assistant: Ho A:', {tokens: 12}));

    const cache = new KVCache(model);
    for (const given of [
      [{model, tokenizer}, messages, {}, /no chat template/],
      [chat, [{role: 'user'}], {}, /messages\[0\]/],
    ] as const) {
      const [by, prompt, options, message] = given;
      await rejection(
        collect(generate(by, prompt as typeof messages, options)),
        InvalidArgumentError,
        message,
      );
    }
    await collect(generate(chat, messages, {tokens: 2, cache}));
    await rejection(
      collect(generate(chat, messages, {cache})),
      InvalidArgumentError,
      /whole conversation, but the cache holds \d+ tokens/,
    );
    cache.dispose();
  });

  it('makes its cache by the plan, and takes a plan or a cache', async () => {
    let tokensSeen = 0;
    const {store} = full();
    const plan: Policy = {
      ...full(),
      store: {
        ...store,
        exact: false,
        moveTokens: 1,
        add(past, block, context) {
          tokensSeen = past.tokensSeen;
          return store.add(past, block, context);
        },
      },
    };
    expect(await all(model, 'some text', {tokens: 5, plan})).to.equal(
      await all(model, 'some text', {tokens: 5}),
    );
    expect(tokensSeen).to.equal(tokenizer.encode('some text').length + 4);
    const cache = new KVCache(model);
    await rejection(all(model, 'x', {cache, plan}), InvalidArgumentError, /a cache and a plan/);
    cache.dispose();
  });

  it('takes ids with a loaded model, which end at its last tokens, and with a model alone', async () => {
    const prompt = tokenizer.encode('Hello');
    const ids = await collect(generate(model, prompt, {tokens: 10}));
    const ending = {...tokenizer, eosIds: [ids[4]!]};
    expect(await collect(generate({model, tokenizer: ending}, prompt, {tokens: 10}))).to.deep.equal(
      ids.slice(0, ids.indexOf(ids[4]!)),
    );
    const given = {model, tokenizer: ending};
    expect(await collect(generate(given, prompt, {tokens: 10, eosIds: []}))).to.deep.equal(ids);
  });

  it('tells how much of the prompt is done', async () => {
    const seen: object[] = [];
    await all(model, 'abcdefg', {chunk: 3, tokens: 2, onProgress: progress => seen.push(progress)});
    expect(seen).to.deep.equal([
      {done: 3, total: 8},
      {done: 6, total: 8},
      {done: 8, total: 8},
    ]);
  });

  it('refuses what is no model and what is no prompt, as plain JavaScript may give them', async () => {
    const loose = generate as (...args: unknown[]) => AsyncGenerator;
    for (const [args, message] of [
      [[model, 'text'], /without a tokenizer/],
      [[{tokenizer}, 'text'], /is no model; expected what loadModel returns/],
      [[undefined, 'text'], /undefined is no model/],
      [[{model, tokenizer}, tokenizer, 'text'], /expected a list of ids/],
      [[{model, tokenizer}, []], /empty list; give one or more ids or messages/],
      [[{model, tokenizer}, 'text', {maxTokens: 3}], /no option "maxTokens"; it has .*tokens/],
    ] as const) {
      await rejection(collect(loose(...args)), InvalidArgumentError, message);
    }
  });

  it('is aborted by its signal, in the prompt and between tokens', async () => {
    const early = new AbortController();
    setImmediate(() => early.abort());
    const prompt = 'x'.repeat(64);
    await rejection(all(model, prompt, {chunk: 1, signal: early.signal}), DOMException, /aborted/);

    const late = new AbortController();
    const text = generate({model, tokenizer}, 'x', {signal: late.signal});
    await text.next();
    await text.next();
    late.abort();
    const {name} = await rejection(text.next(), DOMException);
    expect(name).to.equal('AbortError');
    expect(await text.next()).to.deep.equal({value: undefined, done: true});
  });

  it('leaves no tensors behind, however it ends', async () => {
    await expectNoLeak(() => all(model, 'to the end', {tokens: 5}));
    await expectNoLeak(async () => {
      const text = generate({model, tokenizer}, 'broken off');
      await text.next();
      await text.return();
    });
    await expectNoLeak(() => rejection(all(model, 'aborted', {signal: AbortSignal.abort()}), DOMException));
    await expectNoLeak(async () => {
      const cache = new KVCache(model, quantized({residual: 4, groupSize: 4}));
      await all(model, 'with a cache of the caller', {tokens: 5, cache});
      cache.dispose();
    });
  });

  async function all(
    ...[ofModel, prompt, options, by = tokenizer]: [
      tf.LayersModel,
      string,
      GenerateOptions,
      typeof tokenizer?,
    ]
  ): Promise<string> {
    return (await collect(generate({model: ofModel, tokenizer: by}, prompt, options))).join('');
  }
});

async function collect<T>(generated: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of generated) items.push(item);
  return items;
}

async function greedyWithoutCache(model: tf.LayersModel, prompt: readonly number[], count: number) {
  const ids = [...prompt];
  for (let i = 0; i < count; i++) {
    const logits = tf.tidy(() => model.apply(tf.tensor2d(ids, [1, ids.length], 'int32')) as tf.Tensor);
    const values = await logits.data<'float32'>();
    ids.push(largest(values.subarray(values.length - tokenizer.vocabSize)));
    logits.dispose();
  }
  return ids.slice(prompt.length);
}
