import {mkdir, mkdtemp, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {expect} from 'chai';
import type {EvaluationReport} from '../../../src/report/report_table.js';
import {builtUrl} from '../../support/built_package.js';
import {eigenkv, eigenkvIn, nodeIn} from './support/eigenkv.js';

/** The address of `eigenkv/cache`, as the command line has it. */
let cacheOfCommand: string;

/** A policy that keeps the longest keys, in a module that imports the same copy of the package as the command line. */
const policyModule = (name: string) => `
  import {policy, registerPolicy} from ${JSON.stringify(cacheOfCommand)};
  registerPolicy('${name}', ({newest = 16} = {}) => ({
    ...policy({recent: newest, keep: {name: 'longest', options: {}, budget: 1, score: ({keys}) => keys().sum(-1, true)}}),
    name: '${name}',
    options: {newest},
  }));`;

describe('--import', () => {
  let folder: string;
  const at = (name: string) => join(folder, name);
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'eigenkv-import-'));
    cacheOfCommand = await builtUrl('cache/index.js');
  });
  after(() => rm(folder, {recursive: true}));

  it('adds policies of the user, of several files, with their options', async () => {
    await writeFile(at('one of mine.mjs'), policyModule('mine'));
    await writeFile(at('other.mts'), `${policyModule('other')}\nexport const typed: number = 1;`);
    const {code, stdout, stderr} = await eigenkvIn(
      {env: {NODE_OPTIONS: '--import tsx'}},
      ...[
        'eval',
        '--import',
        at('one of mine.mjs'),
        '--import',
        at('other.mts'),
        '--tokens',
        '40',
        '--chunk',
        '8',
      ],
      ...['--plan', 'mine:newest=20', '--plan', 'other', '--json'],
    );
    expect({code, stderr}).to.deep.equal({code: 0, stderr: ''});
    const {rows} = JSON.parse(stdout) as EvaluationReport;
    expect(rows.map(({plan}) => plan)).to.deep.equal(['full', 'mine:newest=20', 'other']);
  });

  it('says of a file that there is not, is a folder, throws or is no module, which it is', async () => {
    await mkdir(at('folder'));
    const sources = {
      'throws.mjs': 'throw new RangeError("of its own");',
      'no_error.mjs': 'throw "a text";',
      'syntax.mjs': 'export const =',
      'typed.mjs': 'export const one: number = 1;',
      'imports.mjs': 'import "./nowhere.mjs";',
      'taken.mjs': policyModule('h2o'),
    };
    for (const [name, source] of Object.entries(sources)) await writeFile(at(name), source);
    const cases: [string, RegExp][] = [
      ['none.mjs', /--import = ".*none\.mjs"; there is no such file/],
      ['folder', /--import = ".*folder"; there is no such file/],
      ['throws.mjs', /--import = ".*throws\.mjs" cannot be imported: RangeError: of its own/],
      ['no_error.mjs', /no_error\.mjs" cannot be imported: a text/],
      ['syntax.mjs', /syntax\.mjs" cannot be imported: /],
      ['typed.mjs', /typed\.mjs" cannot be imported: SyntaxError: .*TypeScript needs the extension \.mts\.$/],
      ['imports.mjs', /imports\.mjs" cannot be imported: .*nowhere\.mjs/],
      ['taken.mjs', /taken\.mjs" cannot be imported: InvalidArgumentError: There is already a policy "h2o"/],
    ];
    const found = await importedOneByOne(cases.map(([name]) => at(name)));
    for (const [i, [name, message]] of cases.entries()) {
      expect(found[i]!.error, name)
        .to.match(/^InvalidArgumentError: /)
        .and.to.match(message);
    }
    // any command, before it does anything
    const {code, stdout, stderr} = await eigenkv('memory', '--import', at('throws.mjs'));
    expect({code, stdout}).to.deep.equal({code: 2, stdout: ''});
    expect(stderr).to.match(
      /^--import = ".*throws\.mjs" cannot be imported: RangeError: of its own[^\n]*\n$/,
    );
  });

  it('leaves stdout to results, whatever a module prints', async () => {
    await writeFile(at('talks.mjs'), `${policyModule('talks')}\nconsole.log('loaded'); console.table([1]);`);
    const {code, stdout, stderr} = await eigenkv(
      ...['memory', '--depths', '1', '--kv-heads', '1', '--dim', '2', '--tokens', '3', '--json'],
      ...['--import', at('talks.mjs')],
    );
    expect(code).to.equal(0);
    expect(JSON.parse(stdout)).to.be.an('object');
    expect(stderr).to.match(/^loaded\n/);
  });

  it('says so where a file registered nothing here, as one does that imports another copy', async () => {
    await writeFile(at('nothing.mjs'), 'export {};');
    await writeFile(at('something.mjs'), policyModule('something'));
    const [nothing, something] = await importedOneByOne([at('nothing.mjs'), at('something.mjs')]);
    expect(nothing!.warned).to.match(
      /nothing\.mjs registered no policy, keeper, codec or attention adapter here.*same copy of eigenkv/,
    );
    expect(something).to.deep.equal({warned: ''});
  });
});

interface Imported {
  readonly error?: string;
  readonly warned: string;
}

/** What importing each file says, in a process where there is one copy of the package: a test runner loads files in ways of its own. */
async function importedOneByOne(files: readonly string[]): Promise<Imported[]> {
  const program = `
    const {importFiles} = await import(${JSON.stringify(await builtUrl('src/cli/support/import_files.js'))});
    const found = [];
    for (const file of ${JSON.stringify(files)}) {
      let warned = '';
      process.stderr.write = text => ((warned += text), true);
      const error = await importFiles([file]).then(() => undefined, String);
      found.push({error, warned});
    }
    process.stdout.write(JSON.stringify(found));`;
  const {stdout} = await nodeIn({}, '--input-type=module', '--eval', program);
  return JSON.parse(stdout) as Imported[];
}
