import {expect} from 'chai';
import {
  CacheStateError,
  ContextLengthError,
  FormatError,
  InvalidArgumentError,
  ModelError,
} from '../../../base/errors.js';
import {Chat, chat} from '../../../models/chat/chat.js';
import type {ChatMessage} from '../../../models/chat/messages.js';
import {ReturnPoint} from '../../../cache/sharing/return_point.js';
import {generate} from '../../../models/generate/generate.js';
import type {LogitProcessor} from '../../../models/generate/options.js';
import type {LoadedModel, TextModel} from '../../../models/loaded_model.js';
import {loadModel} from '../../../models/load.js';
import {useBackend} from '../../../ops/backends/use_backend.js';
import {KVCache} from '../../../cache/index.js';
import {findSmolLM2} from '../../../models/hub/index.js';
import {rejection} from '../../base/files/rejection.js';
import {skip} from '../../support/skip.js';
import {expectNoLeak} from '../../support/tensors.js';
import {characterTokenizer, tinyModel} from '../../support/tiny_model.js';

/** Every turn ends with `|`, which stands for an end token. */
const chatTemplate =
  '{% for m in messages %}[{{ m.role[0] }}]{{ m.content }}|{% endfor %}{% if add_generation_prompt %}[a]{% endif %}';
const questions = ['Why?', 'How much is it?', 'And lakes?', 'Since when?', 'Thanks'];
/** No end token, so that the number of tokens is known. */
const endless = {logitBias: {0: -Infinity, 1: -Infinity}};
const own = (question: string) => `|[u]${question}|[a]`.length;

async function textOf(pieces: AsyncIterable<string>): Promise<string> {
  let text = '';
  for await (const piece of pieces) text += piece;
  return text;
}

async function ask(talk: Chat, texts: readonly string[]): Promise<string[]> {
  const answers: string[] = [];
  for (const text of texts) answers.push(await textOf(talk.send(text)));
  return answers;
}

describe('chat', () => {
  let model: TextModel;

  before(async () => {
    await useBackend('wasm');
    model = {model: tinyModel(), tokenizer: characterTokenizer, chatTemplate};
  });
  after(() => void model.model.dispose());

  it('computes of each turn its own tokens only, and answers as if it had computed all', async () => {
    using talk = chat(model, {tokens: 12, ...endless});
    await ask(talk, questions);
    talk.turns.forEach((turn, i) => {
      const former = talk.turns[i - 1];
      expect(turn.reusedTokens).to.equal(former?.cacheTokens ?? 0);
      expect(turn.computedTokens).to.equal(own(questions[i]!) - (former === undefined ? 1 : 0));
      expect(turn.promptTokens).to.equal(turn.reusedTokens + turn.computedTokens);
      expect(turn.generatedTokens).to.equal(12);
      expect(turn.cacheTokens).to.equal(turn.promptTokens + 12);
      expect(turn.cacheBytes).to.be.above(0);
      expect(turn).not.to.have.property('restarted');
    });
    for (let said = 1; said < 10; said += 2) {
      const text = await textOf(generate(model, talk.messages.slice(0, said), {tokens: 12, ...endless}));
      expect(talk.messages[said]).to.deep.equal({role: 'assistant', content: text});
    }
  });

  it('computes an edited turn and what follows it', async () => {
    using talk = chat(model, {tokens: 8});
    await ask(talk, questions.slice(0, 4));
    const before = talk.turns[1]!.cacheTokens; // of two turns
    const edited = await textOf(talk.edit(4, 'And ponds?'));
    expect(talk.messages.map(({content}) => content).slice(4)).to.deep.equal(['And ponds?', edited]);
    const {reusedTokens, computedTokens} = talk.turns.at(-1)!;
    expect(reusedTokens).to.equal(before + '|[u]And '.length);
    expect(computedTokens).to.equal('ponds?|[a]'.length);
    expect(edited).to.equal(await textOf(generate(model, talk.messages.slice(0, 5), {tokens: 8})));
    const next = await ask(talk, ['More']);
    expect(next[0]).to.equal(await textOf(generate(model, talk.messages.slice(0, 7), {tokens: 8})));
  });

  it('answers again in place of an answer, of one token at the least', async () => {
    using talk = chat(model, {tokens: 8});
    const [first] = await ask(talk, ['Why?']);
    expect(await textOf(talk.answer())).to.equal(first);
    expect(talk.messages).to.have.length(2);
    expect(talk.turns[1]).to.include({reusedTokens: '[u]Why?|[a'.length, computedTokens: 1});
    talk.messages = [{role: 'user', content: 'How?'}];
    await textOf(talk.answer());
    expect(talk.turns[2]).to.include({reusedTokens: '[u]'.length});
  });

  it('draws another answer when it is asked again, and the same in another run', async () => {
    const run = async () => {
      using talk = chat(model, {tokens: 12, temperature: 1.5, seed: 0});
      return [...(await ask(talk, ['Why?'])), await textOf(talk.answer())];
    };
    const [first, second] = await run();
    expect(first).not.to.equal(second);
    expect(await run()).to.deep.equal([first, second]);
  });

  it('takes options for one answer, and shows processors the whole conversation', async () => {
    const seen: string[] = [];
    const processor: LogitProcessor = (_, ids, start) =>
      void seen.push(`${characterTokenizer.decode(ids.slice(0, start))}#${ids.length - start}`);
    using talk = chat(model, {tokens: 4, plan: 'quantized:bits=8'});
    const [first] = await ask(talk, ['Why?']);
    await textOf(talk.send('And?', {tokens: 2, processors: [processor]}));
    const prompt = `[u]Why?|[a]${first}|[u]And?|[a]`;
    expect(seen).to.deep.equal([`${prompt}#0`, `${prompt}#1`]);
    expect(talk.messages).to.have.length(4);
  });

  describe('with policies that evict', () => {
    const plan = 'sliding:window=16,sinks=2';

    it('goes on where ids are only added', async () => {
      using talk = chat(model, {tokens: 12, plan});
      await ask(talk, questions);
      for (const [i, turn] of talk.turns.entries()) {
        expect(turn).not.to.have.property('restarted');
        expect(turn.reusedTokens).to.equal(talk.turns[i - 1]?.cacheTokens ?? 0);
      }
    });

    const plans = {
      'sliding:window=16,sinks=2': [],
      'h2o:heavyBudget=8,recentBudget=8': [],
      full: [10],
      'onlineSvd:rank=4': [],
    };
    for (const [name, windows] of Object.entries(plans)) {
      it(`edits and answers anew from the newest question on (${name}${windows.length > 0 ? ', windows' : ''})`, async () => {
        const other = {...model, model: tinyModel(2, windows)};
        await expectNoLeak(async () => {
          const options = {tokens: 24, plan: name, ...endless};
          using talk = chat(other, options);
          using same = chat(other, options);
          const [, second, third] = await ask(talk, questions.slice(0, 3));
          const start = talk.turns[1]!.cacheTokens;
          for (let again = 0; again < 2; again++) {
            expect(await textOf(talk.answer())).to.equal(third);
            expect(talk.turns.at(-1)).to.include({reusedTokens: start}).and.not.have.property('restarted');
          }
          const edited = await textOf(talk.edit(4, 'Or?'));
          expect(talk.turns.at(-1)).to.include({reusedTokens: start}).and.not.have.property('restarted');
          expect(await ask(same, [...questions.slice(0, 2), 'Or?'])).to.deep.equal([
            talk.messages[1]!.content,
            second,
            edited,
          ]);
          expect(await ask(talk, ['More'])).to.deep.equal(await ask(same, ['More']));
        });
        other.model.dispose();
      });
    }

    it('forgets the newest question when the plan changes', async () => {
      using talk = chat(model, {tokens: 12, plan});
      await ask(talk, questions.slice(0, 3));
      await talk.cache.setPlan('sliding:window=20,sinks=2');
      await textOf(talk.answer());
      expect(talk.turns.at(-1)!.restarted).to.match(/tokens were evicted/);
    });

    it('begins anew where the cache cannot be cut back, and says why', async () => {
      using talk = chat(model, {tokens: 12, plan});
      await ask(talk, questions.slice(0, 3));
      const edited = await textOf(talk.edit(2, 'Or?'));
      const {reusedTokens, restarted} = talk.turns.at(-1)!;
      expect(reusedTokens).to.equal(0);
      expect(restarted).to.match(/tokens were evicted/);
      expect(edited).to.equal(await textOf(generate(model, talk.messages.slice(0, 3), {tokens: 12, plan})));
    });
  });

  it('changes the plan of a running conversation', async () => {
    using talk = chat(model, {tokens: 4});
    await ask(talk, ['Why?']);
    await talk.cache.setPlan('quantized:bits=8');
    await ask(talk, ['How?']);
    expect(talk.cache.policy(0)!.name).to.equal('quantized');
    expect(talk.turns[1]).to.include({reusedTokens: talk.turns[0]!.cacheTokens});
  });

  it('notices that its cache was changed from outside', async () => {
    using talk = chat(model, {tokens: 4});
    await ask(talk, ['Why?']);
    talk.cache.reset();
    const [answer] = await ask(talk, ['How?']);
    expect(answer).to.equal(await textOf(generate(model, talk.messages.slice(0, 3), {tokens: 4})));
  });

  describe('that is ended early', () => {
    it('keeps what was said when the caller leaves the loop', async () => {
      using talk = chat(model, {tokens: 40, ...endless});
      let said = '';
      for await (const piece of talk.send('Why?')) {
        said += piece;
        if (said.length === 5) break;
      }
      expect(talk.messages).to.deep.equal([
        {role: 'user', content: 'Why?'},
        {role: 'assistant', content: said},
      ]);
      const [next] = await ask(talk, ['How?']);
      expect(talk.turns[1]).to.include({computedTokens: own('How?')});
      expect(next).to.equal(
        await textOf(generate(model, talk.messages.slice(0, 3), {tokens: 40, ...endless})),
      );
    });

    it('keeps what was said when it is aborted', async () => {
      using talk = chat(model, {tokens: 40, ...endless});
      const aborting = new AbortController();
      let said = '';
      const error = await rejection(
        (async () => {
          for await (const piece of talk.send('Why?', {signal: aborting.signal})) {
            said += piece;
            if (said.length === 5) aborting.abort();
          }
        })(),
        DOMException,
      );
      expect(error.name).to.equal('AbortError');
      expect(said).to.have.length(5);
      expect(talk.messages.at(-1)).to.deep.equal({role: 'assistant', content: said});
      await ask(talk, ['How?']);
      expect(talk.turns.map(turn => turn.computedTokens)).to.deep.equal([own('Why?') - 1, own('How?')]);
    });

    it('is as before when it is aborted within the prompt, whose computed part stays', async () => {
      using talk = chat(model, {tokens: 4, chunk: 4});
      await ask(talk, ['Why?']);
      const {messages} = talk;
      const aborting = new AbortController();
      const onProgress = ({done}: {done: number}) => {
        if (done >= 8) aborting.abort();
      };
      await rejection(
        textOf(talk.send('How much is it?', {signal: aborting.signal, onProgress})),
        DOMException,
      );
      expect(talk.messages).to.deep.equal(messages);
      expect(talk.turns).to.have.length(1);
      await ask(talk, ['How much is it?']);
      expect(talk.turns[1]!.computedTokens).to.equal(own('How much is it?') - 8);
    });

    it('is as before after an error, and computes all anew', async () => {
      using talk = chat(model, {tokens: 4});
      const [first] = await ask(talk, ['Why?']);
      const {messages} = talk;
      let calls = 0;
      const processors: LogitProcessor[] = [
        () => {
          if (++calls === 3) throw new RangeError('no more');
        },
      ];
      await rejection(textOf(talk.send('How?', {processors})), RangeError, /no more/);
      expect(talk.messages).to.deep.equal(messages);
      await ask(talk, ['How?']);
      expect(talk.turns[1]!.reusedTokens).to.equal(0);
      expect(talk.messages[1]!.content).to.equal(first);
    });
  });

  it('refuses a second answer, and changes, while it answers', async () => {
    using talk = chat(model, {tokens: 8});
    const answer = talk.send('Why?');
    await answer.next();
    await rejection(textOf(talk.send('How?')), CacheStateError, /is answering; another answer has to wait/);
    expect(() => (talk.messages = [])).to.throw(CacheStateError, /is answering/);
    expect(() => talk.dispose()).to.throw(CacheStateError, /is answering/);
    await rejection(talk.save(), CacheStateError, /is answering/);
    await answer.return();
    expect(talk.messages).to.have.length(2);
  });

  it('says that the context is full before it computes anything', async () => {
    const short = {...model, contextLength: 40};
    using talk = chat(short, {tokens: 8});
    await ask(talk, ['Why?']);
    const {messages} = talk;
    const tokens = talk.cache.tokens;
    await rejection(textOf(talk.send('a'.repeat(40))), ContextLengthError, /fewer messages.*beyondContext/);
    expect(talk.messages).to.deep.equal(messages);
    expect(talk.cache.tokens).to.equal(tokens);
    using unlimited = chat(short, {plan: 'sliding:window=16,sinks=2', beyondContext: true, tokens: 8});
    await ask(unlimited, questions);
    expect(unlimited.cache.tokens).to.be.above(40);
  });

  it('gives as many tokens as the context has room for', async () => {
    using talk = chat({...model, contextLength: 30}, endless);
    await ask(talk, ['Why?']);
    expect(talk.turns[0]!.generatedTokens).to.equal(30 - (own('Why?') - 1));
  });

  it('refuses what is no chat', async () => {
    const {chatTemplate: _, ...plain} = model;
    expect(() => chat(plain)).to.throw(InvalidArgumentError, /no chat template/);
    expect(() => chat({model: model.model, chatTemplate} as TextModel)).to.throw(
      InvalidArgumentError,
      /without a tokenizer/,
    );
    expect(() => chat(model, {plan: 'unheard'})).to.throw(InvalidArgumentError, /unheard/);
    expect(() => chat(model, {messages: ['a'] as unknown as ChatMessage[]})).to.throw(
      InvalidArgumentError,
      /messages\[0\] is "a"/,
    );
    expect(() => chat(model, {cache: 1} as object)).to.throw(InvalidArgumentError, /has no option "cache"/);
    using talk = chat(model, {tokens: 2});
    await rejection(textOf(talk.answer()), InvalidArgumentError, /no messages to answer/);
    await rejection(textOf(talk.edit(0, 'a')), InvalidArgumentError, /edit\(0\).*there are 0 messages/);
    await rejection(textOf(talk.send(5 as unknown as string)), InvalidArgumentError, /messages\[0\] is 5/);
    await rejection(
      textOf(talk.send('a', {plan: 'full'} as object)),
      InvalidArgumentError,
      /no option "plan"/,
    );
    await ask(talk, ['a']);
    await rejection(textOf(talk.edit(1, 'a')), InvalidArgumentError, /no answer/);
    const refusing = {...model, chatTemplate: "{{ raise_exception('only users') }}"};
    await rejection(textOf(chat(refusing).send('a')), ModelError, /only users/);
  });

  it('leaves no tensors behind, whatever happens', async () => {
    await expectNoLeak(async () => {
      using talk = chat(model, {tokens: 6, plan: 'quantized:bits=4'});
      await ask(talk, questions.slice(0, 2));
      await textOf(talk.edit(0, 'How?'));
      await rejection(textOf(talk.send('a', {logitBias: {999: 1}})), InvalidArgumentError);
      for await (const piece of talk.send('b')) if (piece !== '') break;
      using restored = await Chat.restore(await talk.save(), model, {tokens: 6});
      await ask(restored, ['c']);
    });
  });

  describe('saved', () => {
    it('continues as the saved one does, without computing anything again', async () => {
      using talk = chat(model, {tokens: 8, plan: 'quantized:bits=4'});
      await ask(talk, questions.slice(0, 2));
      const bytes = await talk.save();
      using restored = await Chat.restore(bytes, model, {tokens: 8});
      expect(restored.messages).to.deep.equal(talk.messages);
      expect(await ask(restored, ['And?'])).to.deep.equal(await ask(talk, ['And?']));
      expect(restored.turns[0]).to.deep.include({computedTokens: own('And?')});
    });

    it('warns whom it is told to, once', async () => {
      const warnings: string[] = [];
      const onWarning = (message: string) => void warnings.push(message);
      using talk = chat(model, {tokens: 4, plan: 'transform', onWarning});
      await ask(talk, ['Why?']);
      expect(warnings).to.have.length(1); // there is no profile of this model
      using restored = await Chat.restore(await talk.save(), model, {
        tokens: 4,
        plan: 'transform',
        onWarning,
      });
      expect(warnings).to.have.length(2);
      expect(await ask(restored, ['And?'])).to.deep.equal(await ask(talk, ['And?']));
      await rejection(
        KVCache.restore(await talk.cache.save(), model.model, undefined, {expectedTokens: 3} as object),
        InvalidArgumentError,
        /no option "expectedTokens"/,
      );
    });

    it('is refused when it is damaged, or something else', async () => {
      using talk = chat(model, {tokens: 4});
      await ask(talk, ['Why?']);
      const bytes = await talk.save();
      const changed = (from: string, to: string) => {
        const text = Buffer.from(bytes).toString('latin1').replace(from, to);
        return new Uint8Array(Buffer.from(text, 'latin1'));
      };
      const restore = (given: Uint8Array) => Chat.restore(given, model);
      await rejection(restore(changed('Why?', 'Who?')), FormatError, /checksum/);
      await rejection(restore(bytes.slice(0, -1)), FormatError);
      await rejection(restore(changed('"version":"1"', '"version":"9"')), FormatError, /version 9/);
      await rejection(restore(await talk.cache.save()), FormatError, /no saved chat/);
      await rejection(restore('x' as unknown as Uint8Array), InvalidArgumentError, /got "x"/);
      const other = {...model, model: tinyModel(2)};
      await rejection(Chat.restore(bytes, other), ModelError);
      other.model.dispose();
    });
  });

  it('is empty after dispose, and can go on', async () => {
    const talk = chat(model, {tokens: 4});
    await ask(talk, ['Why?']);
    talk.dispose();
    expect(talk.cache.tokens).to.equal(0);
    await ask(talk, ['How?']);
    expect(talk.turns[1]!.reusedTokens).to.equal(0);
    talk.dispose();
  });
});

describe('chat with a tokenizer that merges', () => {
  let model: LoadedModel;

  before(async () => {
    model = await loadModel();
  });
  after(() => model.dispose());

  const template = (content: string) =>
    `{{ bos_token }}{% for m in messages %}{{ m.role + ':' + ${content} + '\\n\\n' }}{% endfor %}{{ 'assistant:' }}`;
  const sampled = {temperature: 1.6, seed: 1, tokens: 30};

  it('keeps the ids that were generated, which the tokenizer would cut otherwise', async () => {
    using talk = chat({...model, chatTemplate: template('m.content')}, sampled);
    const other: string[] = [];
    const onToken = ({id}: {id: number}) => void other.push(String(id));
    for (const question of questions) await textOf(talk.send(question, {onToken}));
    const text = talk.messages.flatMap(({role, content}) => (role === 'assistant' ? [content] : []));
    const encoded = text.flatMap(one => model.tokenizer.encode(one, {addSpecial: false}));
    expect(encoded.map(String)).not.to.deep.equal(other); // else this tests nothing
    talk.turns.forEach((turn, i) => {
      expect(turn.reusedTokens).to.equal(talk.turns[i - 1]?.cacheTokens ?? 0);
    });
  });

  it('computes again what a template rewrites', async () => {
    using talk = chat({...model, chatTemplate: template('m.content | upper')}, sampled);
    await ask(talk, questions.slice(0, 3));
    for (const [i, turn] of talk.turns.entries()) {
      const former = talk.turns[i - 1];
      if (former === undefined) continue;
      expect(turn.reusedTokens).to.be.within(former.promptTokens - 1, former.cacheTokens - 1);
    }
  });
});

describe('chat with SmolLM2, at 4 bits,', () => {
  it('computes of five turns their own tokens, and an edited third turn from there', async function () {
    const path = await findSmolLM2();
    if (path === undefined || process.env['EIGENKV_TEST_SMOLLM2'] === undefined) {
      skip(this, 'needs SmolLM2 (npm run fetch:smollm2) and EIGENKV_TEST_SMOLLM2=1');
    }
    const model = await loadModel(path);
    using talk = chat(model, {plan: 'quantized:bits=4', tokens: 24});
    const asked = [
      'Why is the sea salt?',
      'And lakes?',
      'Name three salt lakes.',
      'Which is larger?',
      'Thanks!',
    ];
    const ownTokens = (question: string) =>
      model.tokenizer.encode(`<|im_end|>\n<|im_start|>user\n${question}<|im_end|>\n<|im_start|>assistant\n`, {
        addSpecial: false,
      }).length;
    await ask(talk, asked);
    for (const [i, turn] of talk.turns.entries()) {
      if (i > 0) expect(turn.computedTokens, asked[i]).to.equal(ownTokens(asked[i]!));
      expect(turn).not.to.have.property('restarted');
    }
    await textOf(talk.edit(4, 'Is that so?'));
    const {computedTokens, reusedTokens} = talk.turns.at(-1)!;
    expect(reusedTokens).to.be.at.least(talk.turns[1]!.cacheTokens);
    expect(computedTokens).to.be.at.most(ownTokens('Is that so?'));
    model.dispose();
  });
});

describe('the newest question of a chat', () => {
  it('costs nothing where a cache can be cut back to it', async () => {
    await useBackend('wasm');
    const model = tinyModel();
    for (const [plan, isKept] of [
      ['full', false],
      ['quantized:bits=4', false],
      ['sliding:window=16', true],
    ] as const) {
      using cache = new KVCache(model, plan);
      expect(ReturnPoint.of(cache)).to.equal(undefined); // of nothing
      const generated: number[] = [];
      for await (const id of generate(model, [5, 6, 7], {cache, tokens: 3})) generated.push(id);
      expect(cache.tokens).to.equal(3 + generated.length);
      const point = ReturnPoint.of(cache);
      expect(point !== undefined, plan).to.equal(isKept);
      point?.dispose();
    }
    model.dispose();
  });
});
