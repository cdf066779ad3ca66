import {expect} from 'chai';
import {ModelError, InvalidArgumentError} from '../../../base/errors.js';
import {renderTemplate, templateLimits} from '../../../models/chat/limited_template.js';
import {renderChat} from '../../../models/chat/render_chat.js';
import {readGolden} from '../../support/golden.js';
import {characterTokenizer as tokenizer} from '../../support/tiny_model.js';

const user = {role: 'user', content: 'Why?'};
const loop = (times: number, body: string) => `{% for i in range(${times}) %}${body}{% endfor %}`;
const doubled = (times: number, start: string, expression: string, end: string) =>
  `{% set ns = namespace(x=${start}) %}${loop(times, `{% set ns.x = ${expression} %}`)}${end}`;
const long = doubled(20, "'a'", 'ns.x + ns.x', ''); // ns.x has a million letters

/** Limits that are reached at once: what is tested is that they are. */
const low = {...templateLimits, steps: 2 ** 16};

describe('a hostile template', () => {
  const loops: Record<string, string> = {
    'nested loops': loop(5e4, loop(5e4, loop(5e4, 'x'))),
    'a loop without output': loop(5e4, ''),
    'macros that call themselves twice':
      '{% macro f(n) %}{% if n > 0 %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}',
    'macros defined again and again': loop(1e4, `{% macro f() %}${'{{ x }}'.repeat(1e4)}{% endmacro %}`),
    'names without a value': loop(6e4, '{{ nothing }}'),
    'ends of loops': loop(6e4, '{% for j in [1] %}{% break %}{% endfor %}'),
    'operations on long texts': long + loop(6e4, '{% if ns.x|upper == "x" %}{% endif %}'),
    'searches in long texts': long + loop(6e4, "{% if 'ab' in ns.x %}{% endif %}"),
    'lists that double': doubled(64, "['ab']", 'ns.x + ns.x', ''),
    'call blocks': '{% macro f() %}{{ caller() }}{% endmacro %}' + loop(6e4, '{% call f() %}x{% endcall %}'),
  };
  for (const [name, source] of Object.entries(loops)) {
    it(`is ended: ${name}`, () => {
      expect(() => renderTemplate(source, {}, low)).to.throw(/does not end within 65536 steps/);
    });
  }

  const growth: Record<string, string> = {
    'texts that double': doubled(64, "'ab'", 'ns.x + ns.x', ''),
    'texts that double by ~': doubled(64, "'ab'", 'ns.x ~ ns.x', ''),
    'lists of themselves, printed': doubled(64, "['ab']", '[ns.x, ns.x]', '{{ ns.x }}'),
    'lists of themselves, as JSON': doubled(64, "['ab']", '[ns.x, ns.x]', '{{ ns.x|tojson }}'),
    'dictionaries of themselves': doubled(64, "{'a': 1}", "{'a': ns.x, 'b': ns.x}", '{{ ns.x }}'),
    'long texts, joined': `${long}{{ [ns.x, ns.x, ns.x] | join }}`,
    'long texts, replaced': `${long}{{ ns.x.replace('a', '${'b'.repeat(100)}') }}`,
    'a long output': long + loop(5, '{{ ns.x }}'),
  };
  for (const [name, source] of Object.entries(growth)) {
    it(`does not grow beyond its limit: ${name}`, () => {
      expect(() => renderTemplate(source, {})).to.throw(/makes a value of more than 2097152 characters/);
    });
  }

  it('does not count far', () => {
    for (const given of ['10**9', '0, 10**15', '10**15, 0, -1', '0, 10**9, 2']) {
      expect(() => renderTemplate(`{% for i in range(${given}) %}{% endfor %}`, {})).to.throw(
        /it counts \d+ numbers; 65536 are allowed/,
      );
    }
    for (const given of ['', '0.5', "'a'", '0, 5, 0']) {
      expect(() => renderTemplate(`{{ range(${given}) }}`, {})).to.throw(/not one of whole numbers/);
    }
    const few = '{{ range(3) }}{{ range(1, 4) }}{{ range(9, 0, -4) }}{{ range(3, 1) }}';
    expect(renderTemplate(few, {})).to.equal('[0, 1, 2][1, 2, 3][9, 5, 1][]');
  });

  const searches: Record<string, string> = {
    in: "{% if ns.x[:500] + 'b' + ns.x[:500] in ns.x %}{% endif %}",
    'not in': "{% if ns.x[:500] + 'b' + ns.x[:500] not in ns.x %}{% endif %}",
    'replace()': "{{ ns.x.replace(ns.x[:500], '') }}",
    'replace, renamed': "{% set f = ns.x.replace %}{{ f(ns.x[:500], '') }}",
    'replace, out of a list': "{{ [ns.x.replace][0](ns.x[:500], '') }}",
    'replace with a list of arguments': "{{ ns.x.replace(*[ns.x[:500], '']) }}",
    'the filter replace': "{{ ns.x | replace(ns.x[:500], '') }}",
    'the block replace': "{% filter replace(ns.x[:500], '') %}{{ ns.x }}{% endfilter %}",
    split: '{{ ns.x.split(ns.x[:500]) }}',
    join: '{{ [1, 2] | join(separator=ns.x[:500]) }}',
    indent: '{{ ns.x | indent(10**9) }}',
    'indent, by name': '{{ ns.x | indent(width=10**9) }}',
    tojson: '{{ [1] | tojson(indent=10**9) }}',
    'tojson, by a dictionary': "{{ [1] | tojson(**{'indent': 10**9}) }}",
  };
  for (const [name, source] of Object.entries(searches)) {
    it(`searches and repeats no long texts: ${name}`, () => {
      expect(() => renderTemplate(long + source, {})).to.throw(
        /searches for, or repeats, more than 128 characters/,
      );
    });
  }

  it('may compare a long text with a list, and give one to a macro', () => {
    const content = 'a'.repeat(1e5);
    const source =
      "{% macro m(text) %}{{ text|length }}{% endmacro %}{% set ns = namespace(f=m) %}{{ m(content) }} {{ ns.f(content) }} {{ content in ['a', 'b'] }}";
    expect(renderTemplate(source, {content})).to.equal('100000 100000 false');
  });

  it('does not hide what it holds', () => {
    const source = '{% set a = namespace() %}{% set b = namespace(x=a) %}{% set a.x = [b, b] %}{{ a }}';
    expect(() => renderTemplate(source, {})).to.throw(/puts a namespace into/);
    const itself = '{% set a = namespace() %}{% set a.x = a %}{{ a }}';
    expect(() => renderTemplate(itself, {})).to.throw(/puts a namespace into/);
  });

  it('is refused when it is too long, or nests too deep', () => {
    const sources = [
      ['x'.repeat(2 ** 18 + 1), /it has 262145 characters; 262144 are allowed/],
      [`{{ 1 }}${' '.repeat(2000)}{{ 1 }}`, /whitespace in a row/],
      ['{{ ' + '('.repeat(1e5), /chat template fails/],
      ['{% if x %}'.repeat(2e4), /chat template fails/],
      ['{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}', /nests deeper than 512/],
    ] as const;
    for (const [chatTemplate, message] of sources) {
      expect(() => renderChat({chatTemplate, tokenizer}, [user])).to.throw(ModelError, message);
    }
  });

  it('cannot fill a terminal with what it says', () => {
    const chatTemplate = `{{ raise_exception('\\u001b[2J' + '${'x'.repeat(1e5)}') }}`;
    const render = () => renderChat({chatTemplate, tokenizer}, [user]);
    expect(render).to.throw(ModelError, /fails: {1,2}\[2Jx{400,500}\.\.\.\. Change the messages/);
  });
});

describe('a conversation of many messages', () => {
  it('is rendered by every template', () => {
    const {templates} = readGolden('chat/model_templates.json') as {
      templates: Record<string, {template: string; variables: object}>;
    };
    const content = 'Why is the sea salt? '.repeat(15);
    const messages = Array.from({length: 2001}, (_, i) => ({role: i % 2 ? 'assistant' : 'user', content}));
    for (const {template: chatTemplate, variables} of Object.values(templates)) {
      const text = renderChat({chatTemplate, tokenizer}, messages, {...variables});
      expect(text.length).to.be.above(2001 * content.length * 0.9);
    }
  });
});

describe('a conversation of ten million characters', () => {
  it('is refused, whether in one message or in many', () => {
    const chatTemplate = '{% for message in messages %}{{ message.content }}{% endfor %}';
    const content = 'a'.repeat(1e7);
    const render = (messages: {role: string; content: string}[]) => () =>
      renderChat({chatTemplate, tokenizer}, messages);
    expect(render([{role: 'user', content}])).to.throw(
      InvalidArgumentError,
      /have 10000000 characters; at most 1048576/,
    );
    const many = Array.from({length: 1000}, () => ({role: 'user', content: content.slice(0, 1e4)}));
    expect(render(many)).to.throw(InvalidArgumentError, /have 10000000 characters/);
    const most = {role: 'user', content: content.slice(0, 2 ** 20)};
    expect(render([most])()).to.have.length(2 ** 20);
  });
});
