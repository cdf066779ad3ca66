import {expect} from 'chai';
import {readFile} from 'node:fs/promises';

const read = (path: string) => readFile(new URL(`../../${path}`, import.meta.url), 'utf8');

describe('the guide for pages', () => {
  it('says for esbuild to copy every folder of data that the package has', async () => {
    const folders = [...(await read('tools/copy_files.mjs')).matchAll(/^ {2}'(?<folder>[^']+)\/':/gm)].map(
      ({groups}) => groups!['folder']!,
    );
    expect(folders).to.include.members(['models/embedded', 'profiles']);
    const guide = await read('docs/guides/browser.md');
    for (const folder of folders)
      expect(guide).to.include(`cp -r node_modules/eigenkv/dist/${folder} dist/\n`);
  });
});
