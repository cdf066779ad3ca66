import {existsSync} from 'node:fs';
import {readFile, readdir} from 'node:fs/promises';
import {join} from 'node:path';
import {expect} from 'chai';
import {asPlan} from '../../src/index.js';
import {pages, root} from '../../tools/markdown_pages.js';
import {CommandProcess, type CommandResult} from '../support/command_process.js';
import {type ShownCommand, argumentsOf, shownCommands} from './shown_commands.js';

/** The options that a help lists. */
const optionsIn = ({printed}: CommandResult) => new Set(printed.match(/--[\w-]+/g));

describe('commands of the pages', () => {
  let commands: ShownCommand[];
  let scripts: Readonly<Record<string, string>>;
  before(async () => {
    commands = await shownCommands();
    const text = await readFile(join(root, 'package.json'), 'utf8');
    ({scripts} = JSON.parse(text) as {scripts: Record<string, string>});
  });

  it('run scripts of package.json', () => {
    const run = commands.filter(({words: [first, second]}) => first === 'npm' && second === 'run');
    expect(run).to.have.length.above(10);
    expect(run.filter(({words}) => !Object.hasOwn(scripts, words[2]!)).map(({place}) => place)).to.deep.equal(
      [],
    );
  });

  it('give scripts only options that their files take', async () => {
    const wrong: string[] = [];
    for (const {place, words} of commands.filter(({words}) => words[1] === 'run' && words.includes('--'))) {
      const file = /\S+\.m?ts\b|\S+\.mjs\b/.exec(scripts[words[2]!] ?? '')?.[0];
      const source = await readFile(join(root, file!), 'utf8');
      const given = words.slice(words.indexOf('--') + 1);
      const options = given.map(word => /^\[?--([\w-]+)/.exec(word)?.[1]).filter(name => name !== undefined);
      wrong.push(
        ...options
          .filter(name => !new RegExp(`\\b${name}\\b`).test(source))
          .map(name => `${place}: --${name}`),
      );
      const takesWords = !source.includes('parseArgs') || source.includes('allowPositionals');
      if (!takesWords && !given[0]!.startsWith('--')) wrong.push(`${place}: ${given[0]!}`);
    }
    expect(wrong).to.deep.equal([]);
  });

  it('name files that exist', () => {
    const floors = ['bench', 'tools', 'test', 'examples', 'src', 'models'];
    const ofReaders = ['vite', 'webpack', 'esbuild']; // these build the reader's own page
    const ours = commands.filter(({words}) => !ofReaders.includes(words[1]!));
    const missing = ours.flatMap(({place, words}) =>
      words
        .filter(word => floors.includes(word.split('/')[0]!) && word.includes('/') && !word.includes('*'))
        .filter(word => !existsSync(join(root, word)))
        .map(word => `${place}: ${word}`),
    );
    expect(missing).to.deep.equal([]);
  });

  it('use commands and options that eigenkv has', async () => {
    const help = new Map<string, Set<string>>();
    const wrong: string[] = [];
    const ours = commands.filter(command => argumentsOf(command) !== undefined);
    expect(ours).to.have.length.above(10);
    const eigenkv = await CommandProcess.start();
    for (const command of ours) {
      const [name, ...rest] = argumentsOf(command)!;
      if (name === undefined || /^[A-Z]+$/.test(name)) continue; // the package itself, or `eigenkv COMMAND`
      const asked = name.startsWith('-') ? ['--help'] : ['help', name];
      if (!help.has(name)) help.set(name, optionsIn(await eigenkv.run(root, asked)));
      const known = help.get(name)!;
      const options = [name, ...rest]
        .filter(word => word.startsWith('--') && word !== '--')
        .map(word => word.split('=')[0]!);
      wrong.push(
        ...options.filter(option => !known.has(option)).map(option => `${command.place}: ${option}`),
      );
    }
    eigenkv.end();
    expect(wrong).to.deep.equal([]);
  });

  it('are all named in the README', async () => {
    const {text} = (await pages()).find(({name}) => name === 'README.md')!;
    const section = /^## The command line\n([^]*?)^## /m.exec(text)![1]!;
    // a command is a file
    const files = (await readdir(join(root, 'src/cli'))).filter(file => file.endsWith('.ts'));
    const names = files.map(file => file.slice(0, -3)).filter(name => name !== 'main' && name !== 'run');
    expect(names).to.include.members(['chat', 'tune']);
    const missing = names.filter(name => !new RegExp(`\\beigenkv ${name}\\b|\`${name}\``).test(section));
    expect(missing).to.deep.equal([]);
  });

  it('show plans that asPlan reads', async () => {
    const lines = (await pages()).flatMap(({name, text}) =>
      [...text.matchAll(/^```json\n([^]*?)^```$/gm)].flatMap(([, body]) =>
        body!
          .trim()
          .split('\n')
          .map(line => ({name, line})),
      ),
    );
    expect(lines).to.have.length.above(3);
    for (const {name, line} of lines) expect(() => asPlan(line), `${name}: ${line}`).not.to.throw();
  });

  it('name plans that exist', () => {
    const own = commands.filter(({words}) => !words.includes('--import')); // may name policies of the reader's own module
    const plans = own.flatMap(({place, words}) =>
      words.flatMap((word, i) => (word === '--plan' ? [{place, plan: words[i + 1]!}] : [])),
    );
    expect(plans).to.have.length.above(5);
    for (const {place, plan} of plans) {
      if (plan !== 'all' && !plan.endsWith('.json')) expect(() => asPlan(plan), place).not.to.throw();
    }
  });
});
