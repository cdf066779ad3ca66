import {readFile, readdir} from 'node:fs/promises';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';

export const root = fileURLToPath(new URL('../', import.meta.url));

export interface Page {
  /** From the root of the project. */
  readonly name: string;
  readonly text: string;
}

/** README.md, CONTRIBUTING.md, all pages of docs/, and those beside the embedded model, its training and the profiles. */
export async function pages(): Promise<Page[]> {
  const docs = await readdir(join(root, 'docs'), {recursive: true});
  const names = [
    'README.md',
    'CONTRIBUTING.md',
    'models/embedded/README.md',
    'profiles/README.md',
    'tools/train_embedded/README.md',
    ...docs.filter(name => name.endsWith('.md')).map(name => join('docs', name)),
  ];
  return Promise.all(
    names.sort().map(async name => ({name, text: await readFile(join(root, name), 'utf8')})),
  );
}
