import {mkdir, mkdtemp, rm, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {pathToFileURL} from 'node:url';
import {type ByteStore, byteStore} from '../../cache/stores/index.js';
import {markdownExamples} from '../../tools/markdown_examples.js';
import {pages, root} from '../../tools/markdown_pages.js';

/** The code of the recipe for a store in docs/SNAPSHOTS.md that contains some text. It declares `store`. */
export async function storeRecipe(containing: string): Promise<string> {
  const page = (await pages()).find(({name}) => name === join('docs', 'SNAPSHOTS.md'))!;
  return markdownExamples(page.text).find(({code}) => code.includes(containing))!.code;
}

/**
 * Runs a recipe as a reader pastes it, apart from the changes that `adapt` makes to its text; gives what it declares. `byteStore`
 * is handed in: tests may be loaded as CommonJS, where an import would make a second instance of the package.
 */
export async function runStoreRecipe<Declared extends {readonly store: ByteStore}>(
  containing: string,
  declared: readonly (keyof Declared & string)[],
  adapt: (code: string) => string = code => code,
): Promise<Declared> {
  const lines = adapt(await storeRecipe(containing)).split('\n');
  const imports = lines.filter(line => line.startsWith('import ') && !line.endsWith("from 'eigenkv';"));
  const body = lines.filter(line => !line.startsWith('import '));
  const code = [
    ...imports,
    'export async function run({byteStore}) {',
    ...body,
    `return {${declared.join(', ')}};`,
    '}',
  ];
  const cache = join(root, 'node_modules', '.cache');
  await mkdir(cache, {recursive: true});
  const folder = await mkdtemp(join(cache, 'recipe-'));
  try {
    const file = join(folder, 'recipe.mts');
    await writeFile(file, code.join('\n'));
    const {run} = (await import(pathToFileURL(file).href)) as {
      run: (given: {byteStore: typeof byteStore}) => Promise<Declared>;
    };
    return await run({byteStore});
  } finally {
    await rm(folder, {recursive: true});
  }
}
