import {mkdtemp, readFile, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {stripVTControlCharacters} from 'node:util';
import {expect} from 'chai';
import {chatCommand} from '../../../src/cli/chat.js';
import type {AnsweredTurn} from '../../../src/cli/support/chat_session.js';
import {UsageError} from '../../../src/cli/support/usage_error.js';
import {rejection} from '../../base/files/rejection.js';
import {skip} from '../../support/skip.js';
import {type Result, type Surroundings, eigenkvIn} from './support/eigenkv.js';
import {hasTerminals, onTerminal} from './support/terminal_session.js';

/** For the embedded model, which knows no roles. */
const template =
  '{% for m in messages %}{{ bos_token }}{{ m.role }}:{{ m.content }}{% endfor %}{{ bos_token + "assistant:" }}';

describe('eigenkv chat', () => {
  let folder: string;
  let args: string[];

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'eigenkv-chat-'));
    await writeFile(join(folder, 'template.jinja'), template);
    args = ['chat', '--template', join(folder, 'template.jinja'), '--tokens', '6'];
  });
  after(() => rm(folder, {recursive: true}));

  const typed = (lines: readonly string[], ...more: string[]): Promise<Result> =>
    eigenkvIn({input: `${lines.join('\n')}\n`} satisfies Surroundings, ...args, ...more);

  it('answers line by line, and computes of each turn its own tokens', async () => {
    const {code, stdout, stderr} = await typed([
      'Why?',
      '',
      'How\\',
      'much?',
      '//quit',
      '/stats',
      '/quit',
      'no',
    ]);
    expect(code).to.equal(0);
    expect(stdout).to.match(/\w[^]*\n +seconds to +generated[^]* 1 [^]* 3 .*\n$/);
    const notes = stderr.trimEnd().split('\n');
    expect(notes).to.have.length(3);
    const parts = notes.map(note =>
      /^(\d+) tokens?, [\d.,]+ tokens\/s; prompt: (\d+) of (\d+) tokens computed; cache of (\d+) tokens: .* float32$/
        .exec(note)!
        .slice(1)
        .map(Number),
    );
    parts.forEach(([generated, computed, prompt, cache], i) => {
      expect(computed).to.equal(prompt! - (parts[i - 1]?.[3] ?? 0));
      expect(cache).to.equal(prompt! + generated!);
    });
  });

  it('prints a line of JSON for each line', async () => {
    const file = join(folder, 'chat.safetensors');
    const {code, stdout, stderr} = await typed(
      [
        ...[
          'Why?',
          'And then?',
          '/edit 1 Who?',
          '/retry',
          '/plan',
          '/plan quantized:bits=8',
          `/save ${file}`,
        ],
        ...['/new', 'Hm', `/load ${file}`, '/plan', 'More', '/edit Less', '/stats'],
      ],
      ...['--json', '--system', 'Be brief.', '--plan', 'quantized:bits=4'],
    );
    expect({code, stderr}).to.deep.equal({code: 0, stderr: ''});
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line) as unknown);
    const answered = (at: number) => lines[at] as AnsweredTurn & {readonly answer: string};
    expect(answered(0)).to.include({reusedTokens: 0, promptTokens: answered(0).computedTokens});
    expect(answered(1)).to.include({reusedTokens: answered(0).cacheTokens});
    expect(answered(2).reusedTokens).to.be.above(0).and.below(answered(0).promptTokens);
    expect(answered(3)).to.include({computedTokens: 1, answer: answered(2).answer});
    expect(lines[4]).to.deep.include({plan: 'quantized:bits=4', cacheTokens: answered(3).cacheTokens});
    expect(lines[5]).to.deep.include({plan: 'quantized', cacheTokens: answered(3).cacheTokens});
    expect(lines[6]).to.deep.equal({saved: file, bytes: (await readFile(file)).length});
    expect(lines[7]).to.deep.equal({messages: [{role: 'system', content: 'Be brief.'}]});
    expect(answered(8).reusedTokens).to.be.above(3);
    const {messages} = lines[9] as {messages: object[]};
    expect(messages).to.have.length(3);
    expect(messages[2]).to.deep.equal({role: 'assistant', content: answered(3).answer});
    expect(lines[10]).to.deep.include({plan: 'quantized', cacheTokens: answered(3).cacheTokens});
    expect(answered(11)).to.include({reusedTokens: answered(3).cacheTokens});
    expect(answered(12).reusedTokens).to.be.above(answered(3).cacheTokens);
    expect((lines[13] as {turns: object[]}).turns).to.have.length(7);
    const continued = await typed(['More'], '--json', '--load', file, '--plan', 'quantized:bits=8');
    const [, next] = continued.stdout.trimEnd().split('\n');
    expect(JSON.parse(next!)).to.include({
      answer: answered(11).answer,
      reusedTokens: answered(3).cacheTokens,
    });
  });

  it('ends at the first error of what is piped in', async () => {
    const wrong: [line: string, message: RegExp][] = [
      ['/plam', /There is no command \/plam; .*Did you mean "plan"\?/],
      ['/plan quantised', /quantised/],
      ['/plan all', /one plan/],
      ['/edit', /\/edit needs more: \/edit \[N\] TEXT/],
      ['/edit 1 a', /Nothing was asked yet/],
      ['/save', /\/save needs more: \/save FILE/],
      ['/load nowhere', /nowhere cannot be read/],
      [`/load ${join(folder, 'template.jinja')}`, /not a whole safetensors file/],
      ['/retry', /no messages to answer/],
    ];
    const results = await Promise.all(wrong.map(([line]) => typed([line, 'Why?'])));
    for (const [i, {code, stdout, stderr}] of results.entries()) {
      expect(stderr, wrong[i]![0]).to.match(wrong[i]![1]);
      expect({stdout, lines: stderr.split('\n').length}).to.deep.equal({stdout: '', lines: 2});
      expect(code).to.be.oneOf([1, 2]);
    }
    const outside = await typed(['Why?', '/edit 2 a']);
    expect(outside.stderr).to.contain('There is no question 2; there are the questions 1 to 1.');
  });

  it('refuses a model without a chat template, and one that is wrong', async () => {
    const none = await eigenkvIn({input: 'Why?\n'}, 'chat');
    expect(none.code).to.equal(2);
    expect(none.stderr).to.match(/embedded has no chat template.*--template FILE/);
    await writeFile(join(folder, 'wrong.jinja'), "{{ raise_exception('never') }}");
    const wrong = await typed(['Why?'], '--template', join(folder, 'wrong.jinja'));
    expect(wrong.code).to.equal(1);
    expect(wrong.stderr).to.match(/chat template fails: never/);
    await rejection(chatCommand.run(['--template', 'nowhere']), Error, /nowhere cannot be read/);
    await rejection(chatCommand.run(['--tokens', '0']), UsageError, /--tokens = "0"/);
  });

  it('is interrupted by ctrl-C with code 130 where nobody types', async () => {
    let pressed = false;
    const {code, stdout, stderr} = await eigenkvIn(
      {
        input: 'Why?\nHow?\n',
        onOutput(child, printed) {
          if (!pressed && printed !== '') child.kill('SIGINT');
          pressed ||= printed !== '';
        },
      },
      ...args,
      ...['--tokens', '800', '--temperature', '1', '--seed', '1'],
    );
    expect(code).to.equal(130);
    expect(stdout).to.match(/\n$/);
    expect(stderr).to.match(/^\d+ tokens?, .*\nInterrupted\.\n$/);
  });

  it('stops an answer at ctrl-C on a terminal, goes on after errors, and leaves at ctrl-D', async function () {
    if (!hasTerminals()) skip(this, "there is no util-linux' script");
    const steps: [after: RegExp, keys: string][] = [
      [/leaves\.\n> $/, 'Why?\r'],
      [/assistant|\w{3,}[^]*\w{3,}$/, '\u0003'],
      [/Stopped\.\n> $/, '/nothing\r'],
      [/There is no command[^]*> $/, '/stats\r'],
      [/turn [^]*> $/, '\u0004'],
    ];
    let from = 0;
    const type = (output: string) => {
      const plain = stripVTControlCharacters(output.replaceAll('\r\n', '\n'));
      const [after, keys] = steps[0] ?? [];
      if (after === undefined || !after.test(plain.slice(from))) return undefined;
      from = plain.length;
      steps.shift();
      return keys;
    };
    const {code, output} = await onTerminal(
      {type},
      ...args,
      ...['--tokens', '800', '--temperature', '1', '--seed', '1'],
    );
    expect(steps, output).to.deep.equal([]);
    expect(code).to.equal(0);
  });

  it('leaves at ctrl-C where nothing is answered', async function () {
    if (!hasTerminals()) skip(this, "there is no util-linux' script");
    let pressed = false;
    const type = (output: string) => {
      if (pressed || !output.endsWith('> ')) return undefined;
      pressed = true;
      return '\u0003';
    };
    const {code, output} = await onTerminal({type, env: {TERM: 'dumb'}}, ...args);
    expect({code, output}).to.deep.include({code: 130});
    expect(output).to.match(/Interrupted\.\n$/);
  });
});
