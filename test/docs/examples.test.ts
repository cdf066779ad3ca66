import {execFile} from 'node:child_process';
import {existsSync} from 'node:fs';
import {readFile, writeFile} from 'node:fs/promises';
import {dirname, join, relative} from 'node:path';
import {expect} from 'chai';
import {transform} from 'esbuild';
import ts from 'typescript';
import {type MarkdownExample, importedPackages, markdownExamples} from '../../tools/markdown_examples.js';
import {type Page, pages, root} from '../../tools/markdown_pages.js';
import {projectWithPackage} from '../support/built_package.js';
import {chatGguf} from '../support/chat_gguf.js';
import {differenceOfPrint} from './printed.js';

interface PageExample extends MarkdownExample {
  /** `README.md:25` */
  readonly place: string;
  /** The example as a TypeScript module, and as JavaScript, which every Node runs. */
  readonly file: string;
  readonly program: string;
  /** The packages that it imports. */
  readonly packages: readonly string[];
  /** The packages of the `npm install` lines of its page, and of the first one of the README. */
  readonly installed: readonly string[];
}

/** A model file that readers have. The embedded model stands for it, as such a file. */
const modelFile = /loadModel\('([\w.-]+\.gguf)'/;

/** The installation that every page assumes: the line under the README's introduction. */
const firstInstallation = /^npm install .*$/m;

/** Writes each example as a module of its own into the folder. */
async function writeExamples(folder: string): Promise<PageExample[]> {
  const all = await pages();
  const base = packagesToInstall(
    firstInstallation.exec(all.find(({name}) => name === 'README.md')!.text)![0],
  );
  return Promise.all(
    all.flatMap(({name, text}) =>
      markdownExamples(text).map(async example => {
        const place = `${name}:${example.line}`;
        const file = join(
          folder,
          `${place.replace(/\W+/g, '_')}.${example.language === 'ts' ? 'mts' : 'mjs'}`,
        );
        const code = `${example.code}\nexport {};\n`;
        await writeFile(file, code);
        const program = file.replace(/\.mts$/, '.mjs');
        if (program !== file) await writeFile(program, (await transform(code, {loader: 'ts'})).code);
        return {
          ...example,
          ...{place, file, program},
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

/** The source files of the package's exports: `./dist/src/index.js` is compiled from `src/index.ts`. */
async function sourcesOfDoors(): Promise<Record<string, string[]>> {
  const {exports} = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
    exports: Readonly<Record<string, string | {readonly default: string}>>;
  };
  return Object.fromEntries(
    Object.entries(exports).flatMap(([door, entry]) =>
      typeof entry === 'string'
        ? []
        : [[`eigenkv${door.slice(1)}`, [entry.default.replace(/^\.\/dist\/(.*)\.js$/, './$1.ts')]]],
    ),
  );
}

/** The compiler's errors in the modules. */
async function complaints(files: readonly string[]): Promise<string[]> {
  const {config} = ts.readConfigFile(join(root, 'tsconfig.json'), name => ts.sys.readFile(name)) as {
    config: unknown;
  };
  const {options} = ts.parseJsonConfigFileContent(config, {...ts.sys, readDirectory: () => []}, root);
  const program = ts.createProgram(files, {
    ...options,
    ...{noUnusedLocals: false, noUnusedParameters: false},
    ...{paths: await sourcesOfDoors(), pathsBasePath: root},
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

/** Runs a program in a process of its own, in its folder. */
function resultOf(program: string): Promise<{printed: string; error?: string}> {
  return new Promise(resolve => {
    execFile(process.execPath, [program], {cwd: dirname(program)}, (error, printed, complaints) =>
      resolve(error === null ? {printed} : {printed, error: `${error.message}\n${complaints}`}),
    );
  });
}

/** Whether Node runs it and all of its packages are there: those of backends that only some machines can have are not. */
const canRun = ({packages, elsewhere}: PageExample) =>
  elsewhere !== true &&
  packages.every(name => name === 'eigenkv' || existsSync(join(root, 'node_modules', name)));

describe('examples of the pages', () => {
  let examples: PageExample[];
  before(async () => {
    const folder = await projectWithPackage();
    examples = await writeExamples(folder);
    const models = new Set(examples.flatMap(({code}) => modelFile.exec(code)?.[1] ?? []));
    for (const name of models) await writeFile(join(folder, name), await chatGguf());
  });

  it('need no hidden code', async () => {
    const markers = /<!-- (?:table \w+|end of table) -->/g; // where `npm run docs:tables` writes
    const hidden = (await pages()).filter(({text}) => text.replaceAll(markers, '').includes('<!--'));
    expect(hidden.map(({name}) => name)).to.deep.equal([]);
  });

  it('import only packages that their page or the first line of the README installs', () => {
    const missing = examples.flatMap(({place, packages, installed}) =>
      packages.filter(name => !installed.includes(name)).map(name => `${place}: ${name}`),
    );
    expect(missing).to.deep.equal([]);
  });

  it('begin in the README with seven lines that take a model file', () => {
    const [first] = examples.filter(({place}) => place.startsWith('README.md:'));
    expect(first!.code.trimEnd().split('\n')).to.have.length(7);
    expect(modelFile.exec(first!.code)?.[1]).to.be.a('string');
  });

  it('compile', async () => {
    expect(examples).to.have.length.above(10);
    const files = examples.filter(({language}) => language === 'ts').map(({file}) => file);
    expect(await complaints(files)).to.deep.equal([]);
  });

  it('run, each in a process of its own, and print what they say', async () => {
    const waiting = examples.filter(canRun);
    expect(waiting).to.have.length.above(20);
    const failures: string[] = [];
    const runNext = async (): Promise<void> => {
      const example = waiting.shift();
      if (example === undefined) return;
      const {error, printed} = await resultOf(example.program);
      const reason = error ?? differenceOfPrint(example, printed);
      if (reason !== undefined) failures.push(`${example.place}: ${reason}`);
      await runNext();
    };
    await Promise.all([runNext(), runNext()]);
    expect(failures).to.deep.equal([]);
  });
});
