import {fork} from 'node:child_process';
import {once} from 'node:events';
import {existsSync} from 'node:fs';
import {mkdir, mkdtemp, rm, writeFile} from 'node:fs/promises';
import {join, relative} from 'node:path';
import {expect} from 'chai';
import ts from 'typescript';
import {
  type MarkdownExample,
  importOf,
  importedPackages,
  markdownExamples,
} from '../../tools/markdown_examples.js';
import {type Page, pages, root} from '../../tools/markdown_pages.js';
import {differenceOfPrint} from './printed.js';
import type {ExampleResult} from './run_example.js';

/** Where the names of the package lead while its sources are under test. */
const sources: Readonly<Record<string, string>> = {
  eigenkv: 'src/index.js',
  'eigenkv/layers': 'layers/index.js',
  'eigenkv/cache': 'cache/index.js',
  'eigenkv/models': 'models/index.js',
  'eigenkv/evaluate': 'src/evaluate/index.js',
  'eigenkv/charts': 'src/charts.js',
};

interface PageExample extends MarkdownExample {
  /** `README.md:25` */
  readonly place: string;
  /** The module that it became. */
  readonly file: string;
  /** The packages that it imports. */
  readonly packages: readonly string[];
  /** The packages that its page tells to install, and those of the README's first line. */
  readonly installed: readonly string[];
}

/** What every page takes for granted: the line under the README's introduction. */
const firstInstallation = /^npm install .*$/m;

/** Each example as a module of its own in a folder that is three deep in the checkout; imports lead to the sources. */
async function writeExamples(folder: string): Promise<PageExample[]> {
  const all = await pages();
  const base = packagesToInstall(
    firstInstallation.exec(all.find(({name}) => name === 'README.md')!.text)![0],
  );
  return Promise.all(
    all.flatMap(({name, text}) =>
      markdownExamples(text).map(async example => {
        const file = join(
          folder,
          `${name.replace(/\W+/g, '_')}_${example.line}.${example.language === 'ts' ? 'mts' : 'mjs'}`,
        );
        const code = example.code.replace(importOf, (whole, word: string, from: string) => {
          const source = sources[from];
          return source === undefined ? whole : `${word}'${relative(folder, join(root, source))}'`;
        });
        await writeFile(file, `${code}\nexport {};\n`);
        return {
          ...example,
          ...{place: `${name}:${example.line}`, file},
          packages: importedPackages(example.code),
          installed: [...base, ...packagesToInstall(text)],
        };
      }),
    ),
  );
}

/** The packages in a page's `npm install` lines, without versions and options. */
function packagesToInstall(text: Page['text']): string[] {
  return [...text.matchAll(/npm install ([^`#\n]+)/g)].flatMap(([, words]) =>
    words!
      .split(/\s+/)
      .filter(word => word !== '' && !word.startsWith('-'))
      .map(word => word.replace(/(.)@.*/, '$1')),
  );
}

/** What the compiler says of the modules. */
function complaints(files: readonly string[]): string[] {
  const {config} = ts.readConfigFile(join(root, 'tsconfig.json'), name => ts.sys.readFile(name)) as {
    config: unknown;
  };
  const {options} = ts.parseJsonConfigFileContent(config, {...ts.sys, readDirectory: () => []}, root);
  const program = ts.createProgram(files, {...options, noUnusedLocals: false, noUnusedParameters: false});
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

/** Runs a module in a process of its own. */
async function resultOf(file: string): Promise<ExampleResult> {
  const child = fork(join(root, 'test/docs/run_example.ts'), [file], {
    execArgv: ['--import', 'tsx'],
    cwd: root,
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  let complaints = '';
  child.stderr?.on('data', data => (complaints += String(data)));
  const results: ExampleResult[] = [];
  child.on('message', message => results.push(message as ExampleResult));
  // the exit may be known before the last message is
  const [[code]] = (await Promise.all([once(child, 'exit'), once(child, 'disconnect')])) as [
    [number | null],
    unknown,
  ];
  const [result = {printed: '', error: 'it sent no result'}] = results;
  // what fails behind its back, such as a callback that nobody waits for, ends the process only
  return code === 0
    ? result
    : {error: `the process ended with ${code ?? 'a signal'}: ${complaints}`, ...result};
}

/** Whether Node runs it and all of its packages are there: those of backends that only some machines can have are not. */
const canRun = ({packages, inBrowser}: PageExample) =>
  inBrowser !== true &&
  packages.every(name => name === 'eigenkv' || existsSync(join(root, 'node_modules', name)));

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

  it('hide nothing that they need', async () => {
    const markers = /<!-- (?:table \w+|end of table) -->/g; // where `npm run docs:tables` writes
    const hidden = (await pages()).filter(({text}) => text.replaceAll(markers, '').includes('<!--'));
    expect(hidden.map(({name}) => name)).to.deep.equal([]);
  });

  it('import only packages that their page, or the first line of the README, tells to install', () => {
    const missing = examples.flatMap(({place, packages, installed}) =>
      packages.filter(name => !installed.includes(name)).map(name => `${place}: ${name}`),
    );
    expect(missing).to.deep.equal([]);
  });

  it('are written in TypeScript that compiles', () => {
    expect(examples).to.have.length.above(10);
    expect(
      complaints(examples.filter(({language}) => language === 'ts').map(({file}) => file)),
    ).to.deep.equal([]);
  });

  it('run, each in a process of its own; what they say they print, they print', async () => {
    const waiting = examples.filter(canRun);
    expect(waiting).to.have.length.above(20);
    const failures: string[] = [];
    const runNext = async (): Promise<void> => {
      const example = waiting.shift();
      if (example === undefined) return;
      const {error, printed} = await resultOf(example.file);
      const reason = error ?? differenceOfPrint(example, printed);
      if (reason !== undefined) failures.push(`${example.place}: ${reason}`);
      await runNext();
    };
    await Promise.all([runNext(), runNext()]);
    expect(failures).to.deep.equal([]);
  });
});
