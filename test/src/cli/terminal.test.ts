import {stripVTControlCharacters} from 'node:util';
import {expect} from 'chai';
import {calibrateCommand} from '../../../src/cli/calibrate.js';
import {chatCommand} from '../../../src/cli/chat.js';
import {compressCommand} from '../../../src/cli/compress.js';
import {demo} from '../../../src/cli/demo.js';
import {evalCommand} from '../../../src/cli/eval.js';
import {generateCommand} from '../../../src/cli/generate.js';
import {inspect} from '../../../src/cli/inspect.js';
import {memory} from '../../../src/cli/memory.js';
import {monitorCommand} from '../../../src/cli/monitor.js';
import type {Command} from '../../../src/cli/support/command.js';
import {bold, outputWidth} from '../../../src/report/terminal.js';
import {skip} from '../../support/skip.js';
import {printed} from './support/printed.js';
import {hasTerminals, onTerminal} from './support/terminal_session.js';
import {widestLine} from './support/wide.js';

/** Runs with another stdout and other variables than this process has. */
async function withOutput<Result>(
  stdout: {readonly isTTY: boolean; readonly columns?: number},
  variables: Readonly<Record<string, string>>,
  run: () => Result | Promise<Result>,
): Promise<Result> {
  const before = {isTTY: process.stdout.isTTY, columns: process.stdout.columns};
  const {env} = process;
  const none = {NO_COLOR: undefined, FORCE_COLOR: undefined, COLUMNS: undefined};
  Object.assign(process.stdout, {columns: undefined, ...stdout});
  process.env = {...env, ...none, TERM: 'xterm', ...variables};
  try {
    return await run();
  } finally {
    Object.assign(process.stdout, before);
    process.env = env;
  }
}

const pipe = {isTTY: false};
const terminal = {isTTY: true, columns: 80};

describe('the terminal', () => {
  it('is as wide as it says, 100 in a pipe, or what COLUMNS says there', async () => {
    expect(await withOutput({isTTY: true, columns: 57}, {COLUMNS: '30'}, outputWidth)).to.equal(57);
    expect(await withOutput({isTTY: true, columns: 0}, {}, outputWidth)).to.equal(80);
    expect(await withOutput(pipe, {}, outputWidth)).to.equal(100);
    expect(await withOutput(pipe, {COLUMNS: '30'}, outputWidth)).to.equal(30);
    for (const COLUMNS of ['', '0', '-3', 'wide'])
      expect(await withOutput(pipe, {COLUMNS}, outputWidth)).to.equal(100);
  });

  it('gets bold heads, unless NO_COLOR is set; a pipe where FORCE_COLOR asks for them', async () => {
    const styled = '\u001b[1mhead\u001b[22m';
    const head = () => bold('head');
    expect(await withOutput(terminal, {}, head)).to.equal(styled);
    expect(await withOutput(terminal, {NO_COLOR: '1'}, head)).to.equal('head');
    expect(await withOutput(terminal, {NO_COLOR: 'false', FORCE_COLOR: '1'}, head)).to.equal('head');
    expect(await withOutput(terminal, {NO_COLOR: ''}, head)).to.equal(styled);
    expect(await withOutput(terminal, {TERM: 'dumb'}, head)).to.equal('head');
    expect(await withOutput(terminal, {FORCE_COLOR: '0'}, head)).to.equal('head');
    expect(await withOutput(pipe, {}, head)).to.equal('head');
    expect(await withOutput(pipe, {FORCE_COLOR: '1'}, head)).to.equal(styled);
  });

  it('shows the help of every command within its width', async () => {
    const commands = {
      ...{calibrateCommand, chatCommand, compressCommand, demo, evalCommand},
      ...{generateCommand, inspect, memory, monitorCommand},
    };
    for (const [name, command] of Object.entries(commands)) {
      for (const columns of [40, 60, 80, 120]) {
        const help = await withOutput({isTTY: true, columns}, {}, () => command.usage());
        expect(widestLine(help), `${name} at ${columns}`).to.be.at.most(columns);
        expect(help, name).to.contain('--import').and.to.contain('Examples');
      }
    }
    for (const command of [evalCommand, monitorCommand, inspect, memory, compressCommand, demo]) {
      expect(command.usage()).to.match(/--columns A,B\s+Columns to show: \w+, \w+/);
    }
  });

  it('shows every table within its width, without escapes in a pipe', async () => {
    const shape = ['--depths', '32', '--kv-heads', '32', '--dim', '128', '--tokens', '4096'];
    const steps = ['--tokens', '24', '--chunk', '8'];
    const tables: [Command, string[]][] = [
      [memory, shape],
      [inspect, []],
      [evalCommand, steps],
      [monitorCommand, [...steps, '--plan', 'memory']],
    ];
    for (const [command, args] of tables) {
      for (const columns of [40, 60, 80, 120, undefined]) {
        const variables: Record<string, string> = columns === undefined ? {} : {COLUMNS: String(columns)};
        const all = columns === 60 ? ['--columns', 'all'] : [];
        const text = await withOutput(pipe, variables, () => printed(() => command.run([...args, ...all])));
        const label = `${args.join(' ')} at ${columns}`;
        expect(widestLine(text), label).to.be.at.most(columns ?? 100);
        expect(text, label).to.equal(stripVTControlCharacters(text));
        expect(text, label).to.match(columns === 60 ? /\w/ : /──/);
      }
    }
  });
});

describe('on a terminal', () => {
  before(function () {
    if (!hasTerminals()) skip(this, 'there is no `script` of util-linux, which makes a terminal.');
  });

  it('tables fit, and bold is all their style', async () => {
    const {code, output} = await onTerminal({columns: 50}, 'inspect');
    expect(code).to.equal(0);
    expect(widestLine(output)).to.be.at.most(50);
    const escapes = output
      .split('\u001b')
      .slice(1)
      .map(text => /^\[[^A-Za-z]*[A-Za-z]/.exec(text)?.[0]);
    expect([...new Set(escapes)].sort()).to.deep.equal(['[1m', '[22m']);
    const plain = await onTerminal({columns: 50, env: {NO_COLOR: '1'}}, 'inspect');
    expect(plain.output).to.equal(stripVTControlCharacters(output));
  });

  it('ctrl-C ends a bar, leaves the cursor and the wrapping alone, and exits with 130', async () => {
    let pressed = false;
    const type = (output: string) => {
      if (pressed || !output.includes('Evaluating [')) return undefined;
      pressed = true;
      return '\u0003';
    };
    const {code, output} = await onTerminal({type}, 'eval', '--plan', 'all', '--tokens', '20000');
    expect(pressed).to.equal(true);
    expect(code).to.equal(130);
    expect(output).to.match(/Interrupted\.\n$/);
    for (const hidden of ['[?25l', '[?7l']) expect(output).not.to.contain(`\u001b${hidden}`);
  });
});
