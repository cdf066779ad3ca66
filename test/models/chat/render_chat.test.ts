import {expect} from 'chai';
import type {ChatMessage} from '../../../models/chat/messages.js';
import {renderChat} from '../../../models/chat/render_chat.js';
import {strftime} from '../../../models/chat/strftime.js';
import {InvalidArgumentError, ModelError} from '../../../base/errors.js';
import {readGolden} from '../../support/golden.js';
import {characterTokenizer as tokenizer} from '../../support/tiny_model.js';

interface ChatGolden {
  readonly template: string;
  readonly cases: readonly {
    readonly messages: readonly ChatMessage[];
    readonly text?: string;
    readonly error?: string;
  }[];
}

const golden = readGolden('chat/chat.json') as Readonly<Record<string, ChatGolden>>;
const models = readGolden('chat/model_templates.json') as {
  readonly templates: Readonly<
    Record<string, ChatGolden & {readonly variables: Readonly<Record<string, unknown>>}>
  >;
  readonly dates: readonly {readonly date: string; readonly format: string; readonly text: string}[];
};
const user = {role: 'user', content: 'Why?'};

describe('renderChat', () => {
  for (const [name, {template: chatTemplate, cases}] of Object.entries(golden)) {
    it(`renders the template "${name}" as Jinja2 does`, () => {
      for (const {messages, text, error} of cases) {
        const render = () => renderChat({chatTemplate, tokenizer}, messages);
        if (error === undefined) expect(render()).to.equal(text);
        else expect(render).to.throw(ModelError, error);
      }
    });
  }

  for (const [name, {template: chatTemplate, variables, cases}] of Object.entries(models.templates)) {
    it(`renders a template as ${name} has it as transformers does`, () => {
      for (const {messages, text, error} of cases) {
        const render = () => renderChat({chatTemplate, tokenizer}, messages, variables);
        if (error === undefined) expect(render()).to.equal(text);
        else expect(render).to.throw(ModelError, error);
      }
    });
  }

  it('writes dates as Python does', () => {
    for (const {date, format, text} of models.dates) expect(strftime(new Date(date), format)).to.equal(text);
    const chatTemplate = "{{ strftime_now('%Y') }}";
    expect(Number(renderChat({chatTemplate, tokenizer}, [user]))).to.be.within(2026, 2200);
  });

  it('gives templates the names of first and last token, empty ones if there are none', () => {
    const chatTemplate = '[{{ bos_token }}|{{ eos_token }}]';
    const {bosId, ...rest} = tokenizer;
    expect(renderChat({chatTemplate, tokenizer}, [user])).to.equal('[<s>|</s>]');
    expect(bosId).to.equal(0);
    expect(renderChat({chatTemplate, tokenizer: {...rest, eosIds: []}}, [user])).to.equal('[|]');
    const isSilent = (id: number) => id === 1; // the id has no token
    expect(renderChat({chatTemplate, tokenizer: {...tokenizer, isSilent}}, [user])).to.equal('[<s>|]');
  });

  it('refuses messages without a template, and what is no message', () => {
    expect(() => renderChat({tokenizer}, [user])).to.throw(
      InvalidArgumentError,
      /no chat template.*one text/,
    );
    for (const wrong of [null, 'Why?', {role: 'user'}, {role: 1, content: 'Why?'}, [user]]) {
      const messages = [user, wrong] as readonly ChatMessage[];
      expect(() => renderChat({chatTemplate: '', tokenizer}, messages)).to.throw(
        InvalidArgumentError,
        /messages\[1\] is .*expected \{role, content\}/,
      );
    }
  });

  it('lets a template reach nothing but what it is given', () => {
    const reached = [
      ...['messages.constructor', 'messages.__proto__', "''.constructor", 'range.constructor'],
      ...['process', 'globalThis', 'require', 'namespace().__proto__'],
    ];
    for (const expression of reached) {
      const chatTemplate = `[{{ ${expression} }}]`;
      expect(renderChat({chatTemplate, tokenizer}, [user]), expression).to.equal('[]');
    }
    for (const chatTemplate of [
      "{{ ''.constructor.constructor('return process')() }}",
      '{% set messages[0].content = 1 %}',
      "{% include '/etc/hostname' %}",
      "{% import '/etc/hostname' as file %}",
    ]) {
      expect(() => renderChat({chatTemplate, tokenizer}, [user])).to.throw(ModelError, /chat template fails/);
    }
    const chatTemplate = '{% set ns = namespace() %}{% set ns.__proto__ = messages[0] %}';
    renderChat({chatTemplate, tokenizer}, [user]);
    expect(({} as {role?: string}).role).to.equal(undefined);
    expect(user.content).to.equal('Why?');
  });

  it('says that a template is at fault', () => {
    for (const chatTemplate of [
      '{% if %}',
      '{{ 1 + nothing }}',
      '{% for',
      '{{ messages | unheard_of }}',
      '(('.repeat(4e4).replace(/^/, '{{ '),
    ]) {
      expect(() => renderChat({chatTemplate, tokenizer}, [user])).to.throw(ModelError, /chat template fails/);
    }
  });
});
