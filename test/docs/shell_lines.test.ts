import {mkdir, readFile, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {expect} from 'chai';
import {markdownExamples} from '../../tools/markdown_examples.js';
import {pages, root} from '../../tools/markdown_pages.js';
import {projectWithPackage} from '../support/built_package.js';
import {CommandProcess} from '../support/command_process.js';
import {type ShownCommand, argumentsOf, shownCommands} from './shown_commands.js';

/** Lines that the tests do not run, and why. All others are run. */
const notRun: readonly (readonly [RegExp, string])[] = [
  [/^git clone |^npm (?:install|audit|pack) |^pip |^apt-get |^python3 -m venv /, 'downloads'],
  [/^npm run fetch:smollm2$|^npm run test:node /, 'downloads'],
  [/^npm ls /, 'lists what is installed here'],
  [/^npm test$/, 'runs this test'],
  [/^npm start$/, 'is eigenkv demo, which test/src/cli/process.test.ts runs'],
  [/^npm run web$/, 'serves until it is stopped'],
  [/^npm run (?:web:build|web:pictures|site|test:web|test:webgpu)\b/, 'builds for a browser, or needs one'],
  [/^npx esbuild |^cp /, 'builds a page of the reader; npm run test:package runs it'],
  [/^npm run bench\b|^npx tsx bench\//, 'measures for minutes'],
  [/^npm run docs:tables$/, 'writes the pages anew'],
  [/^npm run fuzz /, 'takes minutes; test/fuzz/fuzz.test.ts runs the same on fewer inputs'],
  [/^(?:sh )?tools\/build_tfjs_node\.sh /, 'compiles a backend'],
  [
    /^eigenkv calibrate .*--profile /,
    'needs gradients of more tokens than lines have time for; test/models/compress/transform_profile.test.ts makes one',
  ],
  [/^eigenkv eval --profile /, 'reads what the line above writes'],
  [/^(?:npx )?eigenkv chat /, 'reads what is typed; test/src/cli/chat.test.ts types'],
  [/^npx mocha /, 'runs tests on backends that some machines have'],
  [/^\S*python bench\/peers\//, 'needs packages of Python'],
  [/^\.venv\/bin\/python /, 'trains the embedded model'],
];

const reasonNotToRun = ({words}: ShownCommand) =>
  notRun.find(([pattern]) => pattern.test(words.join(' ')))?.[1];

/** Lines of eigenkv are run unless there is a reason not to. */
const isRun = (command: ShownCommand) =>
  argumentsOf(command) !== undefined && reasonNotToRun(command) === undefined;

/** Upper limits of options of commands that read a text, to save time. */
const most: Readonly<Record<string, number>> = {'--tokens': 96, '--gradients': 64};
const throughTexts = ['eval', 'monitor', 'calibrate', 'generate'];

/** The words as the test runs them: the embedded model replaces models of the reader (`model.gguf`, `M`), and long texts are cut. */
function runnable([name = '', ...rest]: readonly string[]): string[] {
  const words = rest.map(word => (/\.gguf$|^M$/.test(word) ? 'embedded' : word));
  if (!throughTexts.includes(name) && !words.includes('--ranks')) return [name, ...words];
  for (const [option, tokens] of Object.entries(most)) {
    const at = words.indexOf(option) + 1;
    if (at > 0) words[at] = String(Math.min(Number(words[at]), tokens));
    else if (option === '--tokens') words.push(option, String(tokens));
  }
  return [name, ...words];
}

/** Writes the files of the reader that a command reads: a text, a plan, questions, or a module that a page shows. */
async function writeNamedFiles(folder: string, words: readonly string[]): Promise<void> {
  for (const word of words) {
    const content = await contentOf(word);
    if (content !== undefined) await writeFile(join(folder, word), content);
  }
}

async function contentOf(file: string): Promise<string | undefined> {
  const all = await pages();
  if (file.endsWith('.txt')) return readFile(join(root, 'models/embedded/held_out.txt'), 'utf8');
  if (file === 'plan.json') {
    const formats = all.find(({name}) => name.endsWith('formats.md'))!;
    return /^```json\n(.*)$/m.exec(formats.text)![1]!;
  }
  if (file.endsWith('.jsonl')) {
    const tasks = all.find(({name}) => name.endsWith('tasks.md'))!;
    return /^```jsonl\n(.*)$/m.exec(tasks.text)![1]!;
  }
  if (!file.endsWith('.mts')) return undefined;
  const name = file.slice(0, -'.mts'.length);
  const example = all
    .flatMap(({text}) => markdownExamples(text))
    .find(({code}) => code.includes(`registerKeeper('${name}'`) || code.includes(`registerPolicy('${name}'`));
  if (example === undefined) throw new Error(`No page has an example that registers "${name}", for ${file}.`);
  return example.code;
}

describe('shell lines of the pages', () => {
  let shown: ShownCommand[];
  before(async () => {
    shown = (await shownCommands()).filter(({inBlock}) => inBlock);
  });

  it('are lines of eigenkv, or have a reason why they are not run', () => {
    const others = shown.filter(command => !isRun(command));
    expect(others.filter(command => reasonNotToRun(command) === undefined)).to.deep.equal([]);
    const unused = notRun.filter(([pattern]) => !others.some(({words}) => pattern.test(words.join(' '))));
    expect(unused, 'reasons without a line').to.deep.equal([]);
  });

  it('run, the lines of a page one after the other in a folder of their own', async () => {
    const ours = shown.filter(isRun);
    expect(ours).to.have.length.above(15);
    const project = await projectWithPackage();
    const failures: string[] = [];
    let eigenkv = await CommandProcess.start();
    for (const {page, place, words} of ours.map(command => ({
      ...command,
      words: runnable(argumentsOf(command)!),
    }))) {
      const folder = join(project, 'pages', page.replace(/\W+/g, '_'));
      await mkdir(folder, {recursive: true});
      await writeNamedFiles(folder, words);
      const {code, printed} = await eigenkv.run(folder, words);
      if (code !== 0)
        failures.push(`${place}\nran as eigenkv ${words.join(' ')}\nand ended with ${code}: ${printed}`);
      if (!words.includes('--import')) continue;
      // names can be registered only once per process
      eigenkv.end();
      eigenkv = await CommandProcess.start();
    }
    eigenkv.end();
    expect(failures.join('\n')).to.equal('');
  });
});
