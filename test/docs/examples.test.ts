import {fork} from 'node:child_process';
import {once} from 'node:events';
import {mkdir, mkdtemp, readFile, readdir, rm, writeFile} from 'node:fs/promises';
import {join, relative} from 'node:path';
import {fileURLToPath} from 'node:url';
import {expect} from 'chai';
import ts from 'typescript';
import {type MarkdownExample, markdownExamples} from '../../tools/markdown_examples.js';
import type {ExampleResult} from './run_examples.js';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** Where the names of the package lead while its sources are under test. */
const sources: Readonly<Record<string, string>> = {
  eigenkv: 'src/index.js',
  'eigenkv/layers': 'layers/index.js',
  'eigenkv/cache': 'cache/index.js',
  'eigenkv/models': 'models/index.js',
  'eigenkv/evaluate': 'src/evaluate/index.js',
};

/** Marks behind the language of examples that are only compiled: fragments, and what needs a download or another package. */
const notRun = ['sketch', 'downloads', 'installs'];

interface PageExample extends MarkdownExample {
  /** `README.md:25` */
  readonly place: string;
  /** The module that it became. */
  readonly file: string;
}

/** README.md, CONTRIBUTING.md, and all pages of docs/. */
async function pages(): Promise<string[]> {
  const docs = await readdir(join(root, 'docs'), {recursive: true});
  return [
    'README.md',
    'CONTRIBUTING.md',
    ...docs.filter(name => name.endsWith('.md')).map(name => join('docs', name)),
  ].sort();
}

/** Each example as a module of its own in a folder that is three deep in the checkout; imports lead to the sources. */
async function writeExamples(folder: string): Promise<PageExample[]> {
  const written: PageExample[] = [];
  for (const page of await pages()) {
    for (const example of markdownExamples(await readFile(join(root, page), 'utf8'))) {
      const file = join(
        folder,
        `${page.replace(/\W+/g, '_')}_${example.line}.${example.language === 'ts' ? 'mts' : 'mjs'}`,
      );
      const code = example.code.replace(
        /(from |import\()'(eigenkv[^']*)'/g,
        (whole, word: string, name: string) => {
          const source = sources[name];
          return source === undefined ? whole : `${word}'${relative(folder, join(root, source))}'`;
        },
      );
      await writeFile(file, `${code}\nexport {};\n`);
      written.push({...example, place: `${page}:${example.line}`, file});
    }
  }
  return written;
}

/** What the compiler says of the modules. */
function complaints(files: readonly string[]): string[] {
  const {config} = ts.readConfigFile(join(root, 'tsconfig.json'), name => ts.sys.readFile(name)) as {
    config: unknown;
  };
  const {options} = ts.parseJsonConfigFileContent(config, {...ts.sys, readDirectory: () => []}, root);
  const program = ts.createProgram([...files, join(root, 'test/support/gpt_tfjs.d.ts')], {
    ...options,
    noUnusedLocals: false,
    noUnusedParameters: false,
  });
  return files
    .flatMap(file => {
      const source = program.getSourceFile(file);
      return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)];
    })
    .map(({file, start = 0, messageText}) => {
      const line = file === undefined ? 0 : file.getLineAndCharacterOfPosition(start).line;
      const code = file?.text.split('\n')[line]?.trim() ?? '';
      return `${relative(root, file?.fileName ?? '')}: ${code}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`;
    });
}

/** Runs modules in a process of their own. */
async function resultsOf(files: readonly string[]): Promise<ExampleResult[]> {
  const results: ExampleResult[] = [];
  const child = fork(join(root, 'test/docs/run_examples.ts'), files, {
    execArgv: ['--import', 'tsx'],
    cwd: root,
  });
  child.on('message', message => results.push(message as ExampleResult));
  await once(child, 'disconnect'); // the exit may be known before the last message is
  return results;
}

describe('examples of the pages', () => {
  let folder: string;
  let examples: PageExample[];

  before(async () => {
    const cache = join(root, 'node_modules', '.cache');
    await mkdir(cache, {recursive: true});
    folder = await mkdtemp(join(cache, 'examples-'));
    examples = await writeExamples(folder);
  });
  after(() => rm(folder, {recursive: true}));

  it('are written in TypeScript that compiles', () => {
    expect(examples).to.have.length.above(10);
    expect(
      complaints(examples.filter(({language}) => language === 'ts').map(({file}) => file)),
    ).to.deep.equal([]);
  });

  it('run, unless marked; what they say they print, they print', async () => {
    const run = examples.filter(({words}) => !words.some(word => notRun.includes(word)));
    const results = new Map(
      (await resultsOf(run.map(({file}) => file))).map(result => [result.file, result]),
    );
    for (const {place, file, code} of run) {
      const {error, printed = ''} = results.get(file) ?? {error: 'the process ended before'};
      if (error !== undefined) throw new Error(`${place} does not run: ${error}`);
      for (const [, expected] of code.matchAll(/; \/\/ prints (.+)$/gm))
        expect(printed, place).to.include(expected);
    }
  });
});

describe('markdownExamples', () => {
  it('finds code and its setup', () => {
    const page = [
      '# A',
      '',
      '<!-- setup',
      'const a = 1;',
      '-->',
      '',
      '```ts sketch',
      'a;',
      '```',
      '```sh',
      'ls',
      '```',
      '```js',
      'b;',
      '```',
    ];
    expect(markdownExamples(page.join('\n'))).to.deep.equal([
      {language: 'ts', words: ['sketch'], code: 'const a = 1;\na;\n', line: 8},
      {language: 'js', words: [], code: 'b;\n', line: 14},
    ]);
  });
});
